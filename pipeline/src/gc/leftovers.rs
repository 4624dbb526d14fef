//! What dead processes left behind: unfinished artifacts, locks that nobody holds, temporary files.

use super::{Candidate, is_locked, size};
use crate::catalogue::References;
use crate::store::{Stage, Store, TRAINING};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What a training that was stopped goes on from.
const CHECKPOINTS: &str = "the checkpoints";

/// Temporary files without a lock live for moments; one this old has lost its process.
const LONG: Duration = Duration::from_secs(3600);

/// What a process left behind.
pub struct Leftover {
    path: PathBuf,
    /// The artifact it was about, where there is one.
    fingerprint: Option<String>,
    what: &'static str,
    /// Whether a process lives that may still want it.
    alive: bool,
}

impl Leftover {
    /// What may become of it.
    pub fn into_candidate(self) -> Candidate {
        let why = match self.alive {
            true => "stays: a process works on it".to_owned(),
            false => format!("{} of a process that is gone", self.what),
        };
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        Candidate {
            stage: None,
            name: name.into_owned(),
            bytes: size(&self.path),
            path: self.path,
            why,
            goes: !self.alive,
            lock: self.fingerprint,
        }
    }
}

/// Every leftover in `store`, and what looks like one but is of a living process.
pub fn leftovers(store: &Store, references: &References) -> Vec<Leftover> {
    let mut found = Vec::new();
    for stage in Stage::ALL {
        let folder = store.root().join(stage.name());
        for path in hidden(&folder) {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let kinds = [
                (".tmp-", "the unfinished work"),
                (".old-", "a replaced artifact"),
                (".lock-", "the lock"),
                (TRAINING, CHECKPOINTS),
            ];
            let kind = kinds
                .iter()
                .find_map(|(start, what)| Some((name.strip_prefix(start)?, *what)));
            match kind {
                Some((rest, what)) => {
                    let fingerprint = rest.split('-').next().unwrap_or(rest).to_owned();
                    let resumable = what == CHECKPOINTS && references.hold(stage, &fingerprint);
                    if resumable {
                        continue; // a run goes on from there
                    }
                    let alive = is_locked(&path, &fingerprint);
                    found.push(Leftover {
                        path,
                        fingerprint: Some(fingerprint),
                        what,
                        alive,
                    });
                }
                None if name.starts_with(".probe") => found.extend(temporary(path)),
                None => {}
            }
        }
    }
    let kinds = ["runs", "sweeps"].map(|kind| store.root().join(kind));
    let folders = kinds
        .iter()
        .flat_map(|kind| kind.read_dir().into_iter().flatten().flatten());
    let folders: Vec<PathBuf> = folders.map(|entry| entry.path()).collect();
    for folder in folders.iter().map(PathBuf::as_path).chain([store.root()]) {
        let names = hidden(folder).into_iter();
        let is_temporary = |p: &PathBuf| p.to_string_lossy().contains("tmp-");
        found.extend(names.filter(is_temporary).filter_map(temporary));
    }
    found
}

/// The entries of `folder` that start with a dot, sorted.
fn hidden(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let entries = entries.filter(|e| e.file_name().to_string_lossy().starts_with('.'));
    let mut paths: Vec<PathBuf> = entries.map(|e| e.path()).collect();
    paths.sort();
    paths
}

/// A file that only its age tells from one that is being written; none if it is young.
fn temporary(path: PathBuf) -> Option<Leftover> {
    let touched = path
        .symlink_metadata()
        .and_then(|meta| meta.modified())
        .ok()?;
    let is_old = SystemTime::now()
        .duration_since(touched)
        .is_ok_and(|age| age > LONG);
    let what = "a temporary file";
    is_old.then_some(Leftover {
        path,
        fingerprint: None,
        what,
        alive: false,
    })
}
