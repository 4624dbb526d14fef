//! An artifact under construction: a temporary folder that is renamed to the artifact or removed.

use super::artifacts::Store;
use super::clock::Timestamp;
use super::file_record::FileRecord;
use super::key::Key;
use super::layout::{FORMAT, MANIFEST};
use super::lock::Lock;
use super::manifest::{Figures, InputRecord, Manifest, Program, UpstreamRecord};
use super::names::{self, Name};
use super::verify::is_confined;
use super::{State, disk, state_of};
use latent_align_hdf5::temporary;
use latent_align_stages::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The results of a stage.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Its final figures.
    pub figures: Vec<(String, f64)>,
    /// Warnings for the reader.
    pub warnings: Vec<String>,
    /// The device of the computation.
    pub device: String,
}

/// A folder to fill. Dropped without [`Draft::commit`], it is removed.
#[derive(Debug)]
pub struct Draft {
    store: Store,
    folder: PathBuf,
    fingerprint: String,
    started: Timestamp,
    clock: Instant,
    /// Returned by [`Draft::commit`].
    lock: Option<Lock>,
}

impl Draft {
    /// An empty temporary folder for the artifact claimed by `lock`.
    pub fn new(store: &Store, key: &Key, lock: Lock) -> Result<Self> {
        let fingerprint = key.fingerprint();
        let stage = store.root().join(key.stage.name());
        // this process holds the lock: whoever created these has ended
        disk::remove_those(&stage, |name| {
            Name::of(name) == Some(Name::Draft(&fingerprint))
        });
        let folder = stage.join(names::draft(&fingerprint));
        std::fs::create_dir(&folder).map_err(|e| Error::file(&folder, e))?;
        Ok(Self {
            store: store.clone(),
            folder,
            fingerprint,
            started: Timestamp::now(),
            clock: Instant::now(),
            lock: Some(lock),
        })
    }

    /// The folder to fill.
    pub fn dir(&self) -> &Path {
        &self.folder
    }

    /// Digests and syncs every output, writes the manifest, and renames the folder into place. Reads each
    /// output once. `contents` are those of each upstream artifact of `key` as the stage read them. Returns
    /// the lock, because files of the training must be removed under it.
    ///
    /// # Errors
    /// [`Error::File`] names what could not be written; then no artifact exists, or the previous one still
    /// does.
    pub fn commit(
        mut self,
        key: &Key,
        contents: Vec<String>,
        outcome: Outcome,
    ) -> Result<(Manifest, Lock)> {
        let mut outputs = BTreeMap::new();
        collect(&self.folder, &self.folder, &mut outputs)?;
        let manifest = Manifest {
            format: FORMAT,
            stage: key.stage,
            fingerprint: self.fingerprint.clone(),
            started: self.started.clone(),
            finished: Timestamp::now(),
            seconds: (self.clock.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            figures: Figures(outcome.figures),
            warnings: outcome.warnings,
            quick: key.quick,
            seed: key.seed,
            device: outcome.device,
            program: Program::this(),
            config: key.config.clone(),
            inputs: key
                .inputs
                .iter()
                .map(|(key, path, record)| InputRecord {
                    key: key.clone(),
                    path: path.clone(),
                    digest: record.digest.clone(),
                    size: record.size,
                })
                .collect(),
            upstream: self.upstream(key, contents),
            outputs,
        };
        let file = self.folder.join(MANIFEST);
        disk::write_synced(&file, manifest.text()?.as_bytes())?;
        disk::sync(&self.folder)?;
        self.put_in_place(&self.store.artifact(key.stage, &self.fingerprint))?;
        let lock = self.lock.take().expect("only a commit takes it");
        Ok((manifest, lock))
    }

    fn upstream(&self, key: &Key, contents: Vec<String>) -> Vec<UpstreamRecord> {
        (key.upstream.iter().zip(contents))
            .map(|(u, contents)| {
                let inside = self.store.artifact(u.stage, &u.fingerprint) == u.dir;
                UpstreamRecord {
                    role: Some(u.role.to_owned()),
                    stage: u.stage,
                    fingerprint: u.fingerprint.clone(),
                    contents,
                    path: (!inside).then(|| u.dir.clone()),
                }
            })
            .collect()
    }

    fn put_in_place(&self, place: &Path) -> Result<()> {
        if place.symlink_metadata().is_err() {
            std::fs::rename(&self.folder, place).map_err(|e| Error::file(place, e))?;
            return disk::sync(place.parent().unwrap_or(Path::new(".")));
        }
        // A damaged or stale artifact is replaced atomically; dropping the draft removes it.
        disk::exchange(&self.folder, place)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.folder.symlink_metadata().is_ok() {
            disk::remove(&self.folder);
        }
    }
}

/// Digests and syncs the files under `folder`.
///
/// # Errors
/// Links and other special files are refused: an artifact must be self-contained.
fn collect(root: &Path, folder: &Path, outputs: &mut BTreeMap<String, FileRecord>) -> Result<()> {
    let failed = |e| Error::file(folder, e);
    for entry in folder.read_dir().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
        if kind.is_dir() {
            collect(root, &path, outputs)?;
            continue;
        }
        let name = path.strip_prefix(root).ok().and_then(Path::to_str);
        match name.filter(|n| kind.is_file() && is_confined(n)) {
            Some(name) => {
                disk::sync(&path)?;
                outputs.insert(name.to_owned(), FileRecord::of(&path)?);
            }
            None => {
                return Err(Error::file(
                    &path,
                    "an artifact holds only regular files with UTF-8 names; links are refused",
                ));
            }
        }
    }
    disk::sync(folder)
}

/// Removes leftovers of ended processes from a stage's `folder`.
pub fn remove_abandoned(folder: &Path) {
    temporary::remove_abandoned(folder, |_| true);
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let name = entry.file_name();
        let fingerprint = match name.to_str().and_then(Name::of) {
            Some(Name::Draft(fingerprint) | Name::Replaced(fingerprint)) => fingerprint,
            Some(Name::Training(fingerprint)) if is_over(folder, fingerprint) => fingerprint,
            Some(Name::Lock(fingerprint)) => {
                // releasing an unheld lock removes its file
                drop(Lock::try_claim(folder, fingerprint));
                continue;
            }
            _ => continue,
        };
        if let Ok(Ok(_lock)) = Lock::try_claim(folder, fingerprint) {
            tracing::info!(
                "removing {} of a run that has ended",
                entry.path().display()
            );
            disk::remove(&entry.path());
        }
    }
}

/// Whether the training of `fingerprint` under a stage's `folder` is complete: the artifact exists, and no
/// checkpoint is newer. A stale or damaged artifact still exists while it is trained again.
pub fn is_over(folder: &Path, fingerprint: &str) -> bool {
    let training = folder.join(names::training(fingerprint));
    let artifact = folder.join(fingerprint);
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified());
    match (changed(&training), changed(&artifact.join(MANIFEST))) {
        (Ok(kept), Ok(committed)) => {
            kept <= committed && matches!(state_of(&artifact), State::Whole(_))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Digests, Stage};
    use super::*;
    use serde_json::json;

    fn setting() -> (tempfile::TempDir, Store, Key) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().join("artifacts"));
        store.open_for_writing().unwrap();
        let key = Key {
            stage: Stage::PretrainFlow,
            config: json!({"steps": 1}),
            seed: 0,
            inputs: vec![],
            upstream: vec![],
            quick: false,
        };
        (dir, store, key)
    }

    fn draft(store: &Store, key: &Key) -> Draft {
        let folder = store.root().join(key.stage.name());
        let lock = Lock::try_claim(&folder, &key.fingerprint());
        Draft::new(store, key, lock.unwrap().unwrap()).unwrap()
    }

    fn state(store: &Store, key: &Key) -> State {
        let mut digests = Digests::of_store(store.root());
        store.state(key, &mut digests).unwrap()
    }

    #[test]
    fn a_committed_draft_is_a_whole_artifact() {
        let (_dir, store, key) = setting();
        let d = draft(&store, &key);
        std::fs::create_dir(d.dir().join("sub")).unwrap();
        std::fs::write(d.dir().join("sub/w.bin"), b"weights").unwrap();
        assert_eq!(state(&store, &key), State::Absent);
        let (manifest, _) = d.commit(&key, vec![], Outcome::default()).unwrap();
        assert_eq!(manifest.outputs["sub/w.bin"].size, 7);
        assert!(manifest.is_of(&key));
        assert_eq!(state(&store, &key), State::Whole(Box::new(manifest)));
    }

    #[test]
    fn a_dropped_draft_leaves_nothing() {
        let (_dir, store, key) = setting();
        let d = draft(&store, &key);
        std::fs::write(d.dir().join("w.bin"), b"weights").unwrap();
        drop(d);
        let folder = store.root().join(key.stage.name());
        assert_eq!(folder.read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_commit_replaces_a_damaged_artifact() {
        let (_dir, store, key) = setting();
        let place = store.artifact(key.stage, &key.fingerprint());
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("old"), b"old").unwrap();
        let d = draft(&store, &key);
        d.commit(&key, vec![], Outcome::default()).unwrap();
        assert!(!place.join("old").exists());
        assert!(matches!(state(&store, &key), State::Whole(_)));
        assert_eq!(place.parent().unwrap().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_link_among_the_outputs_is_refused() {
        let (_dir, store, key) = setting();
        let d = draft(&store, &key);
        std::os::unix::fs::symlink("/etc/passwd", d.dir().join("w.bin")).unwrap();
        let message = d
            .commit(&key, vec![], Outcome::default())
            .unwrap_err()
            .to_string();
        assert!(message.contains("links are refused"), "{message}");
        assert_eq!(state(&store, &key), State::Absent);
    }

    #[test]
    fn temporaries_are_removed_unless_their_maker_lives() {
        let (_dir, store, key) = setting();
        let folder = store.root().join(key.stage.name());
        let alive = draft(&store, &key);
        std::fs::create_dir(folder.join(".tmp-ffff000011112222-1")).unwrap();
        store.open_for_writing().unwrap();
        assert!(alive.dir().exists());
        assert!(!folder.join(".tmp-ffff000011112222-1").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_found_by_the_probe() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let message = Store::at(file.join("artifacts")).open_for_writing();
        assert!(matches!(message, Err(Error::Input(_))));
    }
}
