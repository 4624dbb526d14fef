//! Leftovers of processes that have ended: unfinished artifacts, unheld locks, temporary files.

use super::candidate::{Candidate, size, stays};
use super::references::References;
use crate::store::{Name, Stage, Store, held, is_over};
use std::path::{Path, PathBuf};

/// What an interrupted training resumes from.
const CHECKPOINTS: &str = "the checkpoints";

/// Every leftover in `store`, including those of living processes, which stay. If references are incomplete,
/// `unknown` says why, and checkpoints stay.
pub fn leftovers(store: &Store, references: &References, unknown: Option<&str>) -> Vec<Candidate> {
    let mut found = Vec::new();
    for stage in Stage::ALL {
        let folder = store.root().join(stage.name());
        for path in entries(&folder) {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let (fingerprint, what) = match Name::of(name) {
                Some(Name::Draft(fingerprint)) => (fingerprint, "the unfinished work"),
                Some(Name::Replaced(fingerprint)) => (fingerprint, "a replaced artifact"),
                Some(Name::Lock(fingerprint)) => (fingerprint, "the lock"),
                // a run resumes from it
                Some(Name::Training(fingerprint))
                    if references.hold(stage, fingerprint) && !is_over(&folder, fingerprint) =>
                {
                    continue;
                }
                Some(Name::Training(fingerprint)) => (fingerprint, CHECKPOINTS),
                Some(Name::Temporary(_)) | None => continue,
            };
            let held = stays(&held(&folder, fingerprint));
            let wanted = unknown.filter(|_| what == CHECKPOINTS);
            let why = held.or_else(|| wanted.map(str::to_owned));
            found.push(candidate(&path, Some(fingerprint), what, why));
        }
    }
    for folder in places(store) {
        for path in entries(&folder) {
            let name = path.file_name().and_then(|name| name.to_str());
            if let Some(Name::Temporary(maker)) = name.and_then(Name::of)
                && maker.has_left(&path)
            {
                found.push(candidate(&path, None, "a temporary file", None));
            }
        }
    }
    found
}

/// The folders in which this program creates temporary files.
fn places(store: &Store) -> Vec<PathBuf> {
    let folders_in = |folder: &Path| {
        let folders = entries(folder).into_iter();
        folders.filter(|path| path.is_dir() && !path.is_symlink())
    };
    let [runs, sweeps] = ["runs", "sweeps"].map(|kind| store.root().join(kind));
    let of_sweeps = folders_in(&sweeps).flat_map(|sweep| [sweep.join("trials"), sweep]);
    let mut places = vec![store.root().to_owned()];
    places.extend(Stage::ALL.map(|stage| store.root().join(stage.name())));
    places.extend(folders_in(&runs).chain(of_sweeps));
    places
}

/// The entries of `folder`, sorted. An unreadable folder is skipped.
fn entries(folder: &Path) -> Vec<PathBuf> {
    crate::store::entries(folder).unwrap_or_default()
}

/// The candidate `path`, which is `what` of a process, for the artifact `fingerprint` if given. It is
/// removed unless `stays` gives a reason.
fn candidate(
    path: &Path,
    fingerprint: Option<&str>,
    what: &str,
    stays: Option<String>,
) -> Candidate {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Candidate {
        stage: None,
        name: name.into_owned(),
        bytes: size(path),
        path: path.to_owned(),
        goes: stays.is_none(),
        why: stays.unwrap_or_else(|| format!("{what} of a process that has ended")),
        lock: fingerprint.map(str::to_owned),
    }
}
