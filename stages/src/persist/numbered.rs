//! Entries of a directory that are numbered, such as the checkpoints of steps; and when they are on disk.

use crate::error::{Error, Result};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Syncs the file or directory `path`.
///
/// # Errors
/// File errors.
pub fn sync(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|e| Error::file(path, e))
}

/// The numbers and paths of the entries of `dir` called `prefix` and a number, ascending; none if it cannot be read.
pub fn numbered(dir: &Path, prefix: &str) -> Vec<(u64, PathBuf)> {
    let entries = dir.read_dir().into_iter().flatten().flatten();
    let mut found: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name.strip_prefix(prefix)?.parse().ok()?, entry.path()))
        })
        .collect();
    found.sort();
    found
}
