//! The checkpoints of an unfinished training: `artifacts/<stage>/.training-<fingerprint>/`.
//!
//! ```text
//! step-000000001500/
//!     state.safetensors     weights, moving average, moments, pending losses (safetensors)
//!     metrics.parquet       the learning curves so far
//!     checkpoint.json       written last: step, description of the training, digests of the other files and of itself
//! kept/                     data that a stage keeps itself, such as evaluated scores
//! ```
//!
//! A checkpoint is written under a temporary name and renamed into place, so that it is complete or absent. One
//! whose digests do not match is set aside and the one before it is used. The training process holds the artifact's
//! lock; the folder is removed when the artifact is committed.

use super::Stage;
use super::artifacts::Store;
use super::clock::Timestamp;
use super::file_record::FileRecord;
use super::key::Key;
use super::layout::{FORMAT, METRICS};
use super::manifest::Program;
use super::names::{self, Name};
use super::{Wrong, disk, sealed};
use crate::config::{Change, diff};
use latent_align_hdf5::temporary;
use latent_align_stages::persist::{Snapshot, numbered};
use latent_align_stages::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const RECORD: &str = "checkpoint.json";
const STATE: &str = "state.safetensors";

/// The prefix of the name of a checkpoint before its step.
const STEP: &str = "step-";
/// The prefix of an unusable checkpoint, kept for diagnosis.
const DAMAGED: &str = "damaged-";
/// The key for upstream artifacts in the description of a training.
const UPSTREAM: &str = "upstream";
/// The folder for data that a stage keeps itself.
const KEPT: &str = "kept";
/// The record of why a training stopped.
const DIVERGED: &str = "diverged.json";
/// The largest size of a record in bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// The training of one artifact.
#[derive(Debug, Clone)]
pub struct Training {
    folder: PathBuf,
    about: Value,
}

/// The contents of a checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    /// The state of the training.
    pub state: Snapshot,
    /// Its learning curves so far, if any.
    pub metrics: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    step: u64,
    held_out_loss: Option<f64>,
    written: Timestamp,
    program: Program,
    /// The description of the training: everything in the artifact's fingerprint.
    about: Value,
    files: BTreeMap<String, FileRecord>,
}

/// Why training cannot resume from a checkpoint.
enum Unfit {
    /// It is damaged.
    Damaged(String),
    /// It is intact, but does not fit here: an input error.
    Refused(String),
}

impl Training {
    /// The training of the artifact of `key`; `contents` are those of each upstream artifact. Accesses no files.
    pub fn of(store: &Store, key: &Key, contents: &[String]) -> Self {
        let name = names::training(&key.fingerprint());
        let inputs = key.inputs.iter();
        let upstream = key.upstream.iter().zip(contents);
        Self {
            folder: store.root().join(key.stage.name()).join(name),
            about: json!({
                "stage": key.stage,
                "seed": key.seed,
                key.stage.section(): key.config,
                "inputs": inputs.map(|(name, _, record)| (name.clone(), record.digest.clone()))
                    .collect::<BTreeMap<_, _>>(),
                UPSTREAM: upstream
                    .map(|(u, contents)| {
                        let about = json!({"fingerprint": u.fingerprint, "contents": contents});
                        (u.role, about)
                    })
                    .collect::<BTreeMap<_, _>>(),
            }),
        }
    }

    /// The folder of data that a stage itself keeps for the next run, such as evaluated scores. It may not exist.
    pub fn kept(&self) -> PathBuf {
        self.folder.join(KEPT)
    }

    /// The newest usable checkpoint. `tell` is called with a message for each checkpoint that is set aside.
    ///
    /// # Errors
    /// [`Error::Input`] if one has another configuration or a newer version, which must not be skipped.
    pub fn newest(&self, mut tell: impl FnMut(&str)) -> Result<Option<Checkpoint>> {
        for (step, folder) in self.steps().into_iter().rev() {
            match self.read(step, &folder) {
                Ok(found) => return Ok(Some(found)),
                Err(Unfit::Refused(why)) => {
                    return Err(Error::input(format!("{}: {why}", folder.display())));
                }
                Err(Unfit::Damaged(why)) => {
                    let aside = self.aside(step);
                    let moved = std::fs::rename(&folder, &aside);
                    tell(&format!(
                        "{}: {why}; {}, and the checkpoint before it is used if there is one",
                        folder.display(),
                        match moved {
                            Ok(()) => format!("set aside as {}", aside.display()),
                            Err(e) => format!("it cannot be set aside ({e})"),
                        }
                    ));
                }
            }
        }
        Ok(None)
    }

    /// Commits `state` and the learning curves that `write_metrics` writes, then removes all but the `keep` newest
    /// checkpoints and the best one.
    ///
    /// # Errors
    /// [`Error::File`] names what could not be written; earlier checkpoints are unchanged.
    pub fn commit(
        &self,
        state: &Snapshot,
        keep: usize,
        write_metrics: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        disk::create_folder(&self.folder)?;
        disk::remove_those(&self.folder, |name| Name::of(name).is_some());
        let made = temporary::beside(&self.folder.join("checkpoint"));
        let written = self.write(&made, state, write_metrics);
        let place = self.folder.join(format!("{STEP}{:012}", state.step()));
        let placed = written.and_then(|()| {
            // the previous one must never be missing in between
            match place.exists() {
                true => disk::exchange(&made, &place),
                false => disk::place(&made, &place),
            }
        });
        if made.exists() {
            disk::remove(&made);
        }
        placed?;
        self.prune(keep);
        Ok(())
    }

    fn write(
        &self,
        folder: &Path,
        state: &Snapshot,
        write_metrics: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        std::fs::create_dir(folder).map_err(|e| Error::file(folder, e))?;
        state.write(&folder.join(STATE))?;
        write_metrics(&folder.join(METRICS))?;
        let mut files = BTreeMap::new();
        for name in [STATE, METRICS] {
            let path = folder.join(name);
            if path.exists() {
                disk::sync(&path)?;
                files.insert(name.to_owned(), FileRecord::of(&path)?);
            }
        }
        let record = Record {
            format: FORMAT,
            step: state.step(),
            held_out_loss: state.held_out_loss(),
            written: Timestamp::now(),
            program: Program::this(),
            about: self.about.clone(),
            files,
        };
        let path = folder.join(RECORD);
        let text = sealed::seal(&record).map_err(|e| Error::file(&path, e))?;
        disk::write_synced(&path, text.as_bytes())?;
        disk::sync(folder)
    }

    fn read(&self, step: u64, folder: &Path) -> Result<Checkpoint, Unfit> {
        let damaged = |why: String| Unfit::Damaged(why);
        let record = whole(step, folder)?;
        let differing = differing(&record.about, &self.about);
        let of_upstream = |what: &String| what.starts_with(UPSTREAM);
        if !differing.is_empty() && differing.iter().all(of_upstream) {
            return Err(damaged(format!(
                "its training data were recomputed with another result: {}",
                differing.join("; ")
            )));
        }
        if !differing.is_empty() {
            return Err(Unfit::Refused(format!(
                "found the checkpoint of another configuration, expected one of this: {}; remove it to \
                 train from the start",
                differing.join("; ")
            )));
        }
        let state = Snapshot::read(&folder.join(STATE)).map_err(|e| match e {
            Error::Input(why) => Unfit::Refused(why),
            other => damaged(other.to_string()),
        })?;
        if state.step() != step {
            return Err(damaged(format!(
                "its state is that of step {}",
                state.step()
            )));
        }
        let metrics = record.files.contains_key(METRICS);
        Ok(Checkpoint {
            state,
            metrics: metrics.then(|| folder.join(METRICS)),
        })
    }

    /// A free name for the unusable checkpoint of `step`.
    fn aside(&self, step: u64) -> PathBuf {
        (1..)
            .map(|n| self.folder.join(format!("{DAMAGED}{step:012}-{n}")))
            .find(|path| path.symlink_metadata().is_err())
            .expect("one of all numbers is free")
    }

    /// The checkpoints in ascending order of steps.
    fn steps(&self) -> Vec<(u64, PathBuf)> {
        numbered(&self.folder, STEP)
    }

    /// Removes all but the `keep` newest checkpoints and the one with the smallest held-out loss.
    fn prune(&self, keep: usize) {
        let steps = self.steps();
        let loss = |folder: &Path| {
            let record = record(folder).ok()?;
            record.held_out_loss.filter(|loss| loss.is_finite())
        };
        let best = (steps.iter())
            .filter_map(|(step, folder)| Some((loss(folder)?, *step)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let old = steps.len().saturating_sub(keep.max(1));
        for (step, folder) in &steps[..old] {
            if best.is_none_or(|(_, best)| best != *step) {
                remove(folder);
            }
        }
    }

    /// Records why the training stopped, for diagnosis; returns the path.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn diverged(&self, step: u64, what: &str, rows: &[u64]) -> Result<PathBuf> {
        let checkpoint = self.steps().last().map(|(step, _)| *step);
        let record = json!({
            "step": step,
            "what": what,
            "about": self.about,
            "program": Program::this(),
            "goes on from step": checkpoint,
            "rows of the batch": rows,
        });
        disk::create_folder(&self.folder)?;
        let text = serde_json::to_string_pretty(&record).expect("text and numbers") + "\n";
        disk::write_whole(&self.folder, DIVERGED, &text)?;
        Ok(self.folder.join(DIVERGED))
    }

    /// The step of the newest checkpoint, if any.
    pub fn step(&self) -> Option<u64> {
        self.steps().last().map(|(step, _)| *step)
    }

    /// Removes the folder. The caller holds the artifact's lock.
    pub fn remove(&self) {
        if self.folder.exists() {
            remove(&self.folder);
        }
    }
}

/// Atomically removes a folder; a failure is logged.
fn remove(folder: &Path) {
    if let Err(why) = disk::remove_at_once(folder) {
        tracing::warn!("{why}");
    }
}

/// Every checkpoint in `store`, and what is wrong with it, if anything.
pub fn checkpoints(store: &Store) -> Vec<(PathBuf, Option<Wrong>)> {
    let mut found = Vec::new();
    for stage in Stage::ALL {
        let entries = store.root().join(stage.name()).read_dir();
        let entries = entries.into_iter().flatten().flatten();
        let is_training = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            matches!(Name::of(&name), Some(Name::Training(_)))
        };
        let mut trainings: Vec<PathBuf> = entries.map(|e| e.path()).filter(is_training).collect();
        trainings.sort();
        for (step, folder) in trainings
            .iter()
            .flat_map(|training| numbered(training, STEP))
        {
            let wrong = whole(step, &folder).err().map(|why| match why {
                Unfit::Damaged(why) => Wrong::Damaged(why),
                Unfit::Refused(why) => Wrong::Unreadable(why),
            });
            found.push((folder, wrong));
        }
    }
    found
}

/// An existing file that cannot be opened, for lack of permission or descriptors, is not damaged.
fn may_be_read(file: &Path) -> Result<(), Unfit> {
    match std::fs::File::open(file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Unfit::Refused(format!("{}: {e}", file.display())))
        }
        _ => Ok(()),
    }
}

/// The record of the checkpoint of `step`, with the digests of its files verified.
fn whole(step: u64, folder: &Path) -> Result<Record, Unfit> {
    let damaged = |why: String| Unfit::Damaged(why);
    let record = record(folder)?;
    if record.step != step {
        return Err(damaged(format!(
            "its record is that of step {}",
            record.step
        )));
    }
    for (name, expected) in &record.files {
        if ![STATE, METRICS].contains(&&**name) {
            return Err(damaged(format!("it records a file called `{name}`")));
        }
        may_be_read(&folder.join(name))?;
        let found = FileRecord::of(&folder.join(name)).map_err(|e| damaged(e.to_string()))?;
        if found != *expected {
            return Err(damaged(format!(
                "{name}: digest {} ({} bytes), its record says {} ({} bytes)",
                found.digest, found.size, expected.digest, expected.size
            )));
        }
    }
    Ok(record)
}

fn record(folder: &Path) -> Result<Record, Unfit> {
    #[derive(Deserialize)]
    struct Header {
        format: u32,
    }
    let damaged = |why: String| Unfit::Damaged(format!("{RECORD} {why}"));
    may_be_read(&folder.join(RECORD))?;
    let text = disk::read_small(&folder.join(RECORD), LARGEST);
    let text = text.map_err(|e| Unfit::Damaged(e.to_string()))?;
    let text = sealed::open(&text).map_err(damaged)?;
    let parsed = |e: serde_json::Error| damaged(format!("does not parse ({e})"));
    let header: Header = serde_json::from_str(&text).map_err(parsed)?;
    if header.format > FORMAT {
        return Err(Unfit::Refused(format!(
            "written by a newer version (format {}, this version reads up to {FORMAT}); update \
             latent-align, or remove it to train from the start",
            header.format
        )));
    }
    serde_json::from_str(&text).map_err(parsed)
}

/// The names of the leaves in which two descriptions differ.
fn differing(found: &Value, expected: &Value) -> Vec<String> {
    let show = |value: Option<&Value>| value.map_or("(absent)".to_owned(), ToString::to_string);
    let mut changes = diff(found, expected);
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    let told = changes.iter().map(|Change { key, one, other }| {
        format!("{key}: found {}, expected {}", show(*one), show(*other))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::super::Upstream;
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn key(steps: u64) -> Key {
        Key {
            stage: Stage::PretrainFlow,
            config: json!({"steps": steps}),
            seed: 3,
            inputs: vec![],
            upstream: vec![],
            quick: false,
        }
    }

    fn state(step: u64, held_out_loss: f64) -> Snapshot {
        let mut state = Snapshot::of(step, Some(held_out_loss), &[]).unwrap();
        state.put("weights", vec![step as f32; 5]);
        state
    }

    fn training() -> (tempfile::TempDir, Training) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let training = Training::of(&store, &key(9), &[]);
        (dir, training)
    }

    fn commit(training: &Training, step: u64, loss: f64) {
        let metrics = |path: &Path| {
            std::fs::write(path, format!("curves up to {step}")).unwrap();
            Ok(())
        };
        training.commit(&state(step, loss), 2, metrics).unwrap();
    }

    fn step_of(training: &Training) -> (Option<u64>, Vec<String>) {
        let mut told = Vec::new();
        let found = training.newest(|text| told.push(text.to_owned())).unwrap();
        (found.map(|c| c.state.step()), told)
    }

    #[test]
    fn the_newest_and_the_best_are_kept() {
        let (_dir, training) = training();
        assert_eq!(step_of(&training), (None, vec![]));
        for (step, loss) in [(1, 5.0), (2, 1.0), (3, 4.0), (4, 3.0), (5, 2.0)] {
            commit(&training, step, loss);
        }
        let steps: Vec<u64> = training.steps().iter().map(|s| s.0).collect();
        assert_eq!(steps, [2, 4, 5]);
        let found = training.newest(|_| {}).unwrap().unwrap();
        assert_eq!(found.state, state(5, 2.0));
        let metrics = std::fs::read_to_string(found.metrics.unwrap()).unwrap();
        assert_eq!(metrics, "curves up to 5");
        training.remove();
        assert_eq!(step_of(&training), (None, vec![]));
    }

    /// Fails if the previous checkpoint is removed before the new one replaces it.
    #[test]
    fn a_checkpoint_that_is_written_again_is_never_missing() {
        let (_dir, training) = training();
        commit(&training, 1, 1.0);
        let place = training.steps()[0].1.clone();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let looks = scope.spawn(|| {
                let mut was_there = true;
                while !done.load(Ordering::Relaxed) {
                    was_there &= place.join(RECORD).exists();
                }
                was_there
            });
            (0..100).for_each(|_| commit(&training, 1, 1.0));
            done.store(true, Ordering::Relaxed);
            assert!(looks.join().unwrap());
        });
    }

    #[test]
    fn any_flipped_bit_sets_a_checkpoint_aside_and_the_one_before_is_used() {
        let (_dir, training) = training();
        for name in [STATE, METRICS, RECORD] {
            commit(&training, 1, 1.0);
            commit(&training, 2, 2.0);
            let file = training.steps()[1].1.join(name);
            let whole = std::fs::read(&file).unwrap();
            for at in (0..whole.len()).step_by(1 + whole.len() / 40) {
                commit(&training, 2, 2.0);
                let mut bytes = std::fs::read(&file).unwrap();
                let at = at.min(bytes.len() - 1);
                bytes[at] ^= 1 << (at % 8);
                std::fs::write(&file, bytes).unwrap();
                let (step, told) = step_of(&training);
                assert_eq!(step, Some(1), "{name} {at}");
                assert!(told[0].contains("set aside"), "{told:?}");
            }
        }
    }

    #[test]
    fn a_checkpoint_of_what_upstream_was_before_is_set_aside_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let mut key = key(9);
        key.stage = Stage::TrainAutoencoder;
        key.upstream = vec![Upstream {
            role: "flow",
            stage: Stage::PretrainFlow,
            fingerprint: "00ff".repeat(4),
            dir: dir.path().join("flow"),
        }];
        let [before, now] =
            ["before", "now"].map(|contents| Training::of(&store, &key, &[contents.to_owned()]));
        commit(&before, 1, 1.0);
        assert_eq!(step_of(&before).0, Some(1));
        let (step, told) = step_of(&now);
        assert_eq!(step, None);
        assert!(told[0].contains("upstream.flow.contents"), "{told:?}");
        // training from the start keeps what was set aside
        commit(&now, 1, 1.0);
        assert_eq!(step_of(&now), (Some(1), vec![]));
        let aside = now.folder.join("damaged-000000000001-1");
        assert!(aside.join(STATE).is_file());
    }

    #[test]
    fn numbers_of_a_configuration_are_the_same_after_a_kill() {
        let dir = tempfile::tempdir().unwrap();
        let mut key = key(9);
        // numbers that an inexact parser rounds differently
        let numbers = [0.17265083563414355, 1.0 / 3.0, 5e-324, f64::MAX];
        key.config = json!({"numbers": numbers});
        let training = Training::of(&Store::at(dir.path()), &key, &[]);
        commit(&training, 1, 0.1 + 0.2);
        let found = training.newest(|_| {}).unwrap().unwrap();
        assert_eq!(found.state, state(1, 0.1 + 0.2));
    }

    #[test]
    fn the_checkpoint_of_another_configuration_is_refused_with_what_differs() {
        let (dir, training) = training();
        commit(&training, 1, 1.0);
        let other = Training::of(&Store::at(dir.path()), &key(10), &[]);
        std::fs::rename(&training.folder, &other.folder).unwrap();
        let message = other.newest(|_| {}).unwrap_err().to_string();
        let what = "pretrain_flow.steps: found 9, expected 10";
        assert!(message.contains(what), "{message}");
    }
}
