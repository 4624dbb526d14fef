//! `latent-align features scan FILE`: as `inspect FILE`, without rows.

use super::super::show::hdf5;
use crate::console::Console;
use crate::process::Signals;
use crate::run::StageMonitor;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

/// Options of `scan`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The HDF5 file
    file: PathBuf,
    /// Scan this dataset only; all of them by default
    #[arg(long)]
    dataset: Option<String>,
}

/// Prints what the file holds, and what one full pass over each dataset found.
pub fn run(arguments: &Arguments, console: &Console) -> Result<()> {
    let signals = Signals::listen()?;
    let monitor = StageMonitor::new(console, &signals, "features", None, None);
    let page = hdf5::page(&arguments.file, arguments.dataset.as_deref(), 0, &monitor);
    monitor.finish()?;
    console.print(&page?);
    Ok(())
}
