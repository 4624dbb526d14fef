//! References to artifacts: the links and records of runs, and the upstream artifacts of kept artifacts.
//!
//! Removal of unreferenced artifacts is safe only if every reference is known. So nothing is skipped
//! here: an unreadable file is an error, not the absence of a reference.

use super::found::Catalogue;
use crate::store::{MANIFEST, Manifest, RECORD, RunFolder, Stage, Store, can_be_read, entries};
use latent_align_stages::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// An artifact by its stage and fingerprint.
type Artifact = (Stage, String);

/// The artifacts of a store that must be kept.
#[derive(Default)]
pub struct References {
    kept: BTreeSet<Artifact>,
    /// Damaged runs and kept artifacts, whose references are known only in part.
    pub damaged: Vec<PathBuf>,
}

impl References {
    /// Whether something refers to the artifact.
    pub fn hold(&self, stage: Stage, fingerprint: &str) -> bool {
        self.kept.contains(&(stage, fingerprint.to_owned()))
    }
}

/// What could not be read, one per line.
#[derive(Default)]
struct Unread(Vec<String>);

impl Unread {
    fn note<T>(&mut self, path: &Path, read: std::io::Result<T>) -> Option<T> {
        read.map_err(|e| self.0.push(format!("{}: {e}", path.display())))
            .ok()
    }
}

impl Catalogue {
    /// The artifacts that runs lead to, by link or record, finished or not, and their upstream
    /// artifacts. The trials of sweeps and the older entries of a run's history are runs too.
    ///
    /// # Errors
    /// [`Error::Input`] names everything unreadable that may refer to something.
    pub fn references(&mut self) -> Result<References> {
        let mut unread = Unread::default();
        let mut references = References::default();
        let mut ahead = of_runs(&self.store, &mut references, &mut unread);
        let places = places(&self.store, &mut unread);
        let dirs: Vec<PathBuf> = places.values().cloned().collect();
        self.index.look_up(&dirs, &[]);
        while let Some(artifact) = ahead.pop() {
            if !references.kept.insert(artifact.clone()) {
                continue;
            }
            let Some(dir) = places.get(&artifact) else {
                continue; // not yet computed
            };
            if Manifest::is_former(dir) {
                continue; // refers to nothing that this version could have made
            }
            let manifest = dir.join(MANIFEST);
            if unread.note(&manifest, can_be_read(&manifest)).is_none() {
                continue;
            }
            match self.index.card(dir) {
                Ok(card) => ahead.extend(card.upstream.iter().cloned()),
                Err(_) => references.damaged.push(dir.clone()),
            }
        }
        if unread.0.is_empty() {
            return Ok(references);
        }
        Err(Error::input(format!(
            "references to artifacts cannot be read, so nothing may be deleted; make it readable \
             (mount the disk, change permissions), or remove it if it is not needed:\n  {}",
            unread.0.join("\n  ")
        )))
    }
}

/// The artifacts that the runs of `store` lead to.
fn of_runs(store: &Store, references: &mut References, unread: &mut Unread) -> Vec<Artifact> {
    let runs = store.root().join("runs");
    let mut found = Vec::new();
    for dir in unread.note(&runs, entries(&runs)).unwrap_or_default() {
        let is_hidden =
            (dir.file_name()).is_some_and(|name| name.to_string_lossy().starts_with('.'));
        // follows links: a run may be on another disk
        let meta = match is_hidden {
            true => continue, // true => continue, // not a valid run name
            false => unread.note(&dir, dir.metadata()),
        };
        if !meta.is_some_and(|meta| meta.is_dir()) {
            continue;
        }
        let record = dir.join(RECORD);
        let folder = RunFolder::at(store, dir);
        let listed = unread.note(folder.path(), entries(folder.path()));
        if listed.is_none() || unread.note(&record, can_be_read(&record)).is_none() {
            continue;
        }
        match folder.record() {
            Ok(record) => {
                let stages = record.into_iter().flat_map(|record| record.stages);
                found.extend(stages.map(|s| (s.stage, s.fingerprint)));
            }
            Err(_) => references.damaged.push(folder.path().to_owned()),
        }
        match folder.links() {
            Ok(links) => found.extend(links),
            Err(why) => unread.0.push(why),
        }
    }
    found
}

/// The location of each artifact of `store`.
fn places(store: &Store, unread: &mut Unread) -> BTreeMap<Artifact, PathBuf> {
    let mut places = BTreeMap::new();
    for stage in Stage::ALL {
        let folder = store.root().join(stage.name());
        for dir in unread.note(&folder, entries(&folder)).unwrap_or_default() {
            let name = dir.file_name().and_then(|name| name.to_str());
            if let Some(name) = name.filter(|name| !name.starts_with('.')) {
                places.insert((stage, name.to_owned()), dir);
            }
        }
    }
    places
}
