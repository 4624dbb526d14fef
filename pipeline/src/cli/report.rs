//! `latent-align report RUN|SWEEP`

use crate::config::hint;
use crate::console::Console;
use crate::report::{write_png, write_run, write_sweep};
use crate::store::{CONFIG, RECORD, RunFolder, Store};
use anyhow::Result;
use clap::Args;
use latent_align_stages::Error;
use std::path::{Path, PathBuf};

/// Options of `report`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The name of a run (NAME@NUMBER for an older entry) or of a sweep, or its folder
    #[arg(value_name = "RUN|SWEEP")]
    what: PathBuf,
    /// Write the figures as PNG too, beside the SVG files
    #[arg(long)]
    png: bool,
}

/// What a name means.
#[derive(Debug, PartialEq)]
enum Subject {
    Run(String),
    Sweep(String),
}

/// Writes the report and prints its path, after those of the figures that were asked for.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let (store, subject) = subject(store, &arguments.what)?;
    let path = match &subject {
        Subject::Run(name) => write_run(&store, &RunFolder::of(&store, name))?,
        Subject::Sweep(name) => write_sweep(&store, name)?,
    };
    if arguments.png {
        let written = match &subject {
            Subject::Run(name) => write_png::of_run(&RunFolder::of(&store, name))?,
            Subject::Sweep(name) => write_png::of_sweep(&store, name)?,
        };
        for warning in written.warnings {
            console.note(&format!("warning: {warning}"));
        }
        for file in written.files {
            console.print(&format!("{}\n", file.display()));
        }
    }
    console.print(&format!("{}\n", path.display()));
    Ok(())
}

/// The run or sweep that `what` means: a name in `store`, or a folder in it or in another one.
///
/// # Errors
/// [`Error::Input`] where it is neither, or both.
fn subject(store: &Store, what: &Path) -> Result<(Store, Subject)> {
    let is_run = |folder: &Path| folder.join(CONFIG).exists() || folder.join(RECORD).exists();
    let is_sweep = |folder: &Path| folder.join(crate::sweep::RECORD).exists();
    let name = what.to_string_lossy().trim_end_matches('/').to_owned();
    if !name.contains('/') {
        let at = |kind: &str| store.root().join(kind).join(&name);
        let entry = store.run_entry(&name);
        let has_run = entry
            .as_ref()
            .is_some_and(|entry| is_run(&store.root().join("runs").join(entry)));
        match (has_run, is_sweep(&at("sweeps"))) {
            (true, false) => {
                return Ok((store.clone(), Subject::Run(entry.unwrap_or(name))));
            }
            (false, true) => return Ok((store.clone(), Subject::Sweep(name))),
            (true, true) => {
                return Err(Error::input(format!(
                    "`{name}` is a run and a sweep; give the folder of one of them, {} or {}",
                    at("runs").display(),
                    at("sweeps").display()
                ))
                .into());
            }
            (false, false) => {}
        }
    }
    let folder = std::path::absolute(what).unwrap_or_else(|_| what.to_owned());
    let last = folder.file_name().map(|n| n.to_string_lossy().into_owned());
    let kind = folder.parent().and_then(Path::file_name);
    let root = folder.parent().and_then(Path::parent);
    if let (Some(last), Some(kind), Some(root)) = (last, kind, root) {
        let home = Store::at(root);
        if kind == "runs" && is_run(&folder) {
            return Ok((home, Subject::Run(last)));
        }
        if kind == "sweeps" && is_sweep(&folder) {
            return Ok((home, Subject::Sweep(last)));
        }
    }
    let mut names: Vec<String> = Vec::new();
    for kind in ["runs", "sweeps"] {
        let entries = store.root().join(kind).read_dir();
        let entries = entries.into_iter().flatten().flatten();
        names.extend(entries.map(|e| e.file_name().to_string_lossy().into_owned()));
    }
    Err(Error::input(format!(
        "no run and no sweep `{name}` in {}{}; expected a name under runs/ or sweeps/, or such a folder",
        store.root().display(),
        hint(&name, &names)
    ))
    .into())
}
