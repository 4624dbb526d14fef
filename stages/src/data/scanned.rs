//! Datasets scanned by this process: stages of one run often read the same one, and a second pass finds the same.

use super::config::{PartConfig, SourceConfig};
use super::rows::RowView;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Passes to remember; each takes up to 30 bytes per item of its dataset.
const MOST: usize = 4;

/// The latest passes and what they found.
pub struct Scanned<T>(Mutex<Vec<(Pass, T)>>);

/// Everything that determines the result of a pass: the configuration, and the state of every file.
#[derive(Debug, Clone, PartialEq)]
pub struct Pass {
    asked: String,
    files: Vec<[i128; 6]>,
}

impl Pass {
    /// The pass over `source` and its parts; none if a file cannot be looked at, or with a covariance, which may be
    /// too large to keep.
    pub fn of(
        source: &SourceConfig,
        view: RowView,
        seed: u64,
        parts: [&PartConfig; 2],
        covariance: bool,
    ) -> Option<Self> {
        if covariance {
            return None;
        }
        let of_parts = parts.into_iter().filter_map(|part| part.file.as_deref());
        let files = of_parts.chain(source.file.all().iter().map(PathBuf::as_path));
        Some(Self {
            asked: format!("{source:?} {view:?} {seed} {parts:?}"),
            files: files.map(file_state).collect::<Option<_>>()?,
        })
    }
}

impl<T: Clone> Scanned<T> {
    /// No passes.
    pub const fn none() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// What the same pass found before.
    pub fn found(&self, pass: &Pass) -> Option<T> {
        let scanned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = scanned.iter().find(|(known, _)| known == pass);
        found.map(|(_, found)| found.clone())
    }

    /// Remembers what a pass found.
    pub fn remember(&self, pass: Pass, found: &T) {
        let mut scanned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if scanned.len() == MOST {
            scanned.remove(0);
        }
        scanned.push((pass, found.clone()));
    }
}

/// Size, times and identity of a file, of which any change of it changes one; none if it cannot be looked at.
pub fn file_state(file: &Path) -> Option<[i128; 6]> {
    let found = std::fs::metadata(file).ok()?;
    Some([
        found.size().into(),
        found.ino().into(),
        found.mtime().into(),
        found.mtime_nsec().into(),
        found.ctime().into(),
        found.ctime_nsec().into(),
    ])
}
