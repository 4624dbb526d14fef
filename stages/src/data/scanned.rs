//! Datasets scanned by this process: stages of one run often read the same one, and a second pass finds the same.

use super::config::{PartConfig, SourceConfig};
use super::ingest::Ingest;
use super::rows::RowView;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Passes to remember; each takes up to 30 bytes per item of its dataset.
const MOST: usize = 4;

static SCANNED: Mutex<Vec<(Pass, Ingest)>> = Mutex::new(Vec::new());

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
        let files = of_parts.chain([source.file.as_path()]);
        Some(Self {
            asked: format!("{source:?} {view:?} {seed} {parts:?}"),
            files: files.map(state).collect::<Option<_>>()?,
        })
    }

    /// What the same pass found before.
    pub fn found(&self) -> Option<Ingest> {
        let scanned = SCANNED.lock().unwrap_or_else(PoisonError::into_inner);
        let found = scanned.iter().find(|(pass, _)| pass == self);
        found.map(|(_, ingest)| ingest.clone())
    }

    /// Remembers what it found.
    pub fn remember(self, found: &Ingest) {
        let mut scanned = SCANNED.lock().unwrap_or_else(PoisonError::into_inner);
        if scanned.len() == MOST {
            scanned.remove(0);
        }
        scanned.push((self, found.clone()));
    }
}

/// Size, times and identity of a file, of which any change of it changes one.
fn state(file: &Path) -> Option<[i128; 6]> {
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
