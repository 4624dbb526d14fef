//! `latent-align report RUN|SWEEP`

use crate::catalogue::{Prefer, Thing};
use crate::console::Console;
use crate::report::{write_png, write_run, write_sweep};
use crate::store::{RunFolder, Store};
use anyhow::Result;
use clap::Args;
use latent_align_stages::Error;
use std::path::PathBuf;

/// Options of `report`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The name of a run (NAME@NUMBER for an older entry) or of a sweep, or its folder
    #[arg(value_name = "RUN|SWEEP")]
    what: PathBuf,
    /// Also write the figures as PNG, beside the SVG files
    #[arg(long)]
    png: bool,
}

/// Writes the report and prints its path, after the paths of the PNG figures.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let thing = Thing::find(store, &arguments.what, Prefer::Neither)?;
    let path = match &thing {
        Thing::Run(store, name) => write_run(&RunFolder::of(store, name))?,
        Thing::Sweep(store, name) => write_sweep(store, name)?,
        other => {
            return Err(Error::input(format!(
                "{}: found {}, expected a run or a sweep",
                arguments.what.display(),
                other.kind()
            ))
            .into());
        }
    };
    let written = match &thing {
        _ if !arguments.png => None,
        Thing::Run(store, name) => Some(write_png::of_run(&RunFolder::of(store, name))?),
        Thing::Sweep(store, name) => Some(write_png::of_sweep(store, name)?),
        _ => None,
    };
    if let Some(written) = written {
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
