//! `latent-align inspect [PATH | FINGERPRINT | FILE.h5]`

use super::ls::NO_ARTIFACTS;
use super::show::{hdf5, one};
use crate::catalogue::{Catalogue, Target, artifacts as table, target};
use crate::console::Console;
use crate::process::Signals;
use crate::run::StageMonitor;
use crate::store::Store;
use crate::tables::{OutputArguments, Query};
use anyhow::Result;
use clap::Args;
use latent_align_stages::Error;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Options of `inspect`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// An artifact's folder, a run's, a store's, four or more characters of a fingerprint, or an HDF5
    /// file; all artifacts by default
    #[arg(value_name = "PATH|FINGERPRINT")]
    target: Option<PathBuf>,
    /// Read every output and compare its digest; damage is an error
    #[arg(long)]
    verify: bool,
    /// Rows of each dataset of an HDF5 file that are shown
    #[arg(long, value_name = "N", default_value_t = 3)]
    rows: usize,
    /// This dataset of an HDF5 file only
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    #[command(flatten)]
    query: Query,
    #[command(flatten)]
    output: OutputArguments,
}

/// Prints the table, or the one artifact.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let output = arguments.output.open()?;
    if let Some(file) = arguments.target.as_deref().filter(|path| is_hdf5(path)) {
        let signals = Signals::listen()?;
        let monitor = StageMonitor::new(console, &signals, "inspect", None, None);
        let page = hdf5::page(file, arguments.dataset.as_deref(), arguments.rows, &monitor);
        monitor.finish()?;
        return output.write_page(&page?, console);
    }
    let target = target(store, arguments.target.as_deref())?;
    let artifacts = match target {
        Target::One(dir) => {
            let (page, result) = one(store, &dir, arguments.verify);
            output.write_page(&page, console)?;
            return Ok(result?);
        }
        Target::Many(artifacts) => artifacts,
    };
    let mut catalogue = Catalogue::of(store);
    let entries = catalogue.artifacts(&artifacts);
    let source = table(&catalogue, &entries);
    if source.height == 0 && output.is_text_on_stdout() {
        console.print(NO_ARTIFACTS);
    } else {
        output.write(&mut arguments.query.run(&source)?, console)?;
    }
    if arguments.verify {
        let damaged: Vec<String> = artifacts
            .iter()
            .filter_map(|(_, dir)| one(store, dir, true).1.err())
            .map(|e| e.to_string())
            .collect();
        if !damaged.is_empty() {
            return Err(Error::file(store.root(), damaged.join("\n")).into());
        }
        console.print(&format!(
            "\nverified: the outputs of all {} artifacts have their digests\n",
            artifacts.len()
        ));
    }
    Ok(())
}

/// True for a file that claims to be HDF5, by its content or by its name.
fn is_hdf5(path: &Path) -> bool {
    let named = path
        .extension()
        .is_some_and(|e| ["h5", "hdf5", "he5"].iter().any(|x| e == *x));
    let mut head = [0u8; 8];
    // To open a pipe is to wait for somebody who writes.
    let is_read = path.is_file()
        && std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok());
    named || (is_read && &head == b"\x89HDF\r\n\x1a\n")
}
