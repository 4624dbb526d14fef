//! What to export, and where to.

use crate::export::{Files, Source};
use crate::store::Store;
use anyhow::Result;
use clap::Args;
use std::path::{Path, PathBuf};

/// What to export.
#[derive(Debug, Args)]
pub struct Exported {
    /// A run by name, the folder of a run or of an artifact, or four or more characters of a fingerprint
    #[arg(value_name = "RUN|FINGERPRINT")]
    what: PathBuf,
    /// Replace existing files that differ
    #[arg(long)]
    force: bool,
}

impl Exported {
    /// Writes the files made by `files` into a folder of `out`; the second of the pair is the folder's
    /// name.
    pub fn write(
        &self,
        store: &Store,
        out: &Path,
        files: impl FnOnce(&Source) -> Result<Files>,
    ) -> Result<(String, PathBuf)> {
        let source = Source::find(store, &self.what)?;
        let dir = out.join(&source.name);
        let written = files(&source)?.write(&dir, self.force)?;
        Ok((written.to_string(), dir))
    }
}
