//! `latent-align features scan FILE`: as `inspect FILE`, without rows.

use crate::inspect::hdf5;
use clap::Args;
use latent_align_stages::Result;
use latent_align_stages::context::Monitor;
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

/// What the file holds, and what one full pass over each dataset found.
///
/// # Errors
/// A file or a dataset that cannot be read.
pub fn page(arguments: &Arguments, monitor: &dyn Monitor) -> Result<String> {
    hdf5::page(&arguments.file, arguments.dataset.as_deref(), 0, monitor)
}
