//! Listing of an HDF5 file by path.

use crate::error::Result;
use crate::guard::Asked;
use crate::open::open_file;
use crate::tree::{DatasetInfo, FileListing, of_file};
use std::path::Path;

impl FileListing {
    /// Lists `path`.
    ///
    /// # Errors
    /// An input error for a file that is missing, not HDF5, or damaged.
    pub fn read(path: &Path) -> Result<Self> {
        of_file(&open_file(path, &Asked::Listing)?, path)
    }
}

/// The datasets of the file at `path`, by name.
///
/// # Errors
/// An input error for a file that is missing, not HDF5, or damaged.
pub fn list(path: &Path) -> Result<Vec<DatasetInfo>> {
    Ok(FileListing::read(path)?.datasets)
}
