//! `run.json`: the state of a run, for tables of runs and for programs.
//!
//! Results are defined by the manifests of the artifacts that the run leads to; the record names these
//! artifacts and states how the run ended.

use super::Stage;
use super::clock::Timestamp;
use super::layout::RECORD;
use super::lock::leads_to;
use super::shared::locks_are_seen_by_all_hosts;
use super::{RunFolder, disk};
use crate::process::host;
use latent_align_hdf5::open_lock;
use latent_align_stages::{Error, Result};
use serde::{Deserialize, Serialize, Serializer};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Locked, shared, by every process that works on the run; the kernel releases it when one dies.
const PRESENCE: &str = ".running";
/// The format of the record; newer ones are refused.
const FORMAT: u32 = 1;
/// The largest size of a record in bytes.
const LARGEST: u64 = 1024 * 1024;

/// The state of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The format of this file.
    pub format: u32,
    /// The experiment's name.
    pub name: String,
    /// The number of its configuration under this name, from 1.
    #[serde(default = "first")]
    pub entry: u64,
    /// Whether it is finished.
    pub state: RunState,
    /// A hash of the fingerprints of its stages.
    pub identity: String,
    /// The configuration it was started with.
    #[serde(serialize_with = "as_text")]
    pub file: PathBuf,
    /// The seed of its random streams.
    pub seed: u64,
    /// The device of the computation.
    pub device: String,
    /// When it was started.
    pub started: Timestamp,
    /// When it ended, in whatever way.
    pub finished: Option<Timestamp>,
    /// How long it took.
    pub seconds: Option<f64>,
    /// The ID of the process that ran it.
    pub process: u32,
    /// The host of the process.
    pub host: String,
    /// Why it failed.
    pub failure: Option<String>,
    /// Its stages in order, finished or not.
    pub stages: Vec<StageOfRun>,
    /// Whether every size was divided, so that its figures are not results.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quick: bool,
}

/// A stage of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageOfRun {
    /// The stage.
    pub stage: Stage,
    /// The fingerprint of its artifact.
    pub fingerprint: String,
}

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Every stage has its artifact.
    Finished,
    /// A process is working on it.
    Running,
    /// It was stopped on request.
    Stopped,
    /// Its process died. Never written: a run recorded as running on which no process works.
    Interrupted,
    /// A stage failed.
    Failed,
}

impl RunState {
    /// Its name in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }
}

impl RunRecord {
    /// The record of a run that starts now.
    pub fn starting(name: &str, file: &Path, seed: u64, device: &str) -> Self {
        Self {
            format: FORMAT,
            name: name.to_owned(),
            entry: first(),
            state: RunState::Running,
            identity: identity(&[]),
            file: std::path::absolute(file).unwrap_or_else(|_| file.to_owned()),
            seed,
            device: device.to_owned(),
            started: Timestamp::now(),
            finished: None,
            seconds: None,
            process: std::process::id(),
            host: host(),
            failure: None,
            stages: Vec::new(),
            quick: false,
        }
    }

    /// The record with these stages.
    pub fn with_stages(mut self, stages: Vec<StageOfRun>) -> Self {
        self.identity = identity(&stages);
        self.stages = stages;
        self
    }

    /// The record of a run that is `quick` or not.
    pub fn marked(mut self, quick: bool) -> Self {
        self.quick = quick;
        self
    }

    /// The record as entry `number` of its name.
    pub fn numbered(mut self, number: u64) -> Self {
        self.entry = number;
        self
    }

    /// The record of a run that ended as `state`.
    pub fn ended(mut self, state: RunState, failure: Option<String>, since: Instant) -> Self {
        self.state = state;
        self.failure = failure;
        self.finished = Some(Timestamp::now());
        self.seconds = Some((since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0);
        self
    }
}

/// A path for readers: JSON has no bytes that are not text.
///
/// # Errors
/// Those of `serializer`.
pub fn as_text<S: Serializer>(path: &Path, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// The number of a run's first entry, and of every run whose record has none.
fn first() -> u64 {
    1
}

/// A hash of the inputs of a run's stages: equal for two runs that compute the same.
pub fn identity(stages: &[StageOfRun]) -> String {
    let mut hasher = blake3::Hasher::new();
    for stage in stages {
        hasher.update(stage.stage.name().as_bytes());
        hasher.update(stage.fingerprint.as_bytes());
        hasher.update(&[0]);
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

/// A claim that this process works on a run, until dropped. Several processes may hold it; the last one
/// removes the file.
#[derive(Debug)]
pub struct Presence {
    path: PathBuf,
    file: File,
}

impl Drop for Presence {
    fn drop(&mut self) {
        if open_lock::try_exclusive(&self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl RunFolder {
    /// Records that this process works on the run.
    ///
    /// # Errors
    /// [`Error::File`] if the folder cannot be written.
    pub fn attend(&self) -> Result<Presence> {
        let path = self.path().join(PRESENCE);
        let failed = |e| Error::file(&path, e);
        disk::create_folder(self.path())?;
        loop {
            let file = open(&path, true).map_err(failed)?;
            open_lock::shared(&file).map_err(failed)?;
            if leads_to(&path, &file).map_err(failed)? {
                return Ok(Presence { path, file });
            }
            // The last process removed it between our opening and our locking.
        }
    }

    /// Whether some process works on the run. The test takes no lock, so that two concurrent tests do not
    /// see each other.
    pub fn is_attended(&self) -> bool {
        let file = File::open(self.path().join(PRESENCE));
        file.is_ok_and(|file| open_lock::is_held(&file))
    }

    /// Removes the presence file if no process holds it.
    pub fn remove_unattended(&self) {
        let path = self.path().join(PRESENCE);
        let Ok(file) = open(&path, false) else {
            return;
        };
        // as the last process would have done
        if open_lock::try_exclusive(&file) {
            self.clear_progress();
            let _ = std::fs::remove_file(&path);
        }
    }

    /// The state of the run; none if it was never run.
    ///
    /// # Errors
    /// [`Error::File`] if the record exists and cannot be opened; [`Error::Input`] if it does not parse or
    /// has a newer format.
    pub fn record(&self) -> Result<Option<RunRecord>> {
        let path = self.path().join(RECORD);
        let wrong = |why: String| Error::input(format!("{}: {why}", path.display()));
        if !disk::can_be_read(&path).map_err(|e| Error::file(&path, e))? {
            return Ok(None);
        }
        let text = disk::read_small(&path, LARGEST).map_err(|e| Error::input(e.to_string()))?;
        let mut record: RunRecord = serde_json::from_str(&text)
            .map_err(|e| wrong(format!("does not parse ({e}); run the experiment again")))?;
        if record.format > FORMAT {
            return Err(wrong(format!(
                "written by a newer version (format {}, this version reads up to {FORMAT}); update latent-align",
                record.format
            )));
        }
        // this host may not see a process of another host
        let would_be_seen = || record.host == host() || locks_are_seen_by_all_hosts(self.path());
        if record.state == RunState::Running && !self.is_attended() && would_be_seen() {
            record.state = RunState::Interrupted;
        }
        Ok(Some(record))
    }

    /// Atomically writes the record.
    pub fn write_record(&self, record: &RunRecord) -> Result<()> {
        let text = serde_json::to_string_pretty(record).expect("a record has nothing but text");
        self.write(RECORD, &(text + "\n"))
    }
}

fn open(path: &Path, create: bool) -> std::io::Result<File> {
    let mut options = File::options();
    let options = options.read(true).write(true).create(create);
    options.truncate(false).open(path)
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    fn record() -> RunRecord {
        let stage = |stage, fingerprint: &str| StageOfRun {
            stage,
            fingerprint: fingerprint.into(),
        };
        RunRecord::starting("ring", Path::new("ring.yaml"), 3, "cpu").with_stages(vec![
            stage(Stage::PretrainFlow, "aa"),
            stage(Stage::EstimateNll, "bb"),
        ])
    }

    #[test]
    fn a_run_whose_process_died_is_interrupted() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::of(&Store::at(dir.path()), "ring");
        assert_eq!(folder.record().unwrap(), None);
        let presence = folder.attend().unwrap();
        folder.write_record(&record()).unwrap();
        assert_eq!(folder.record().unwrap(), Some(record_of(&folder)));
        assert_eq!(record_of(&folder).state, RunState::Running);
        drop(presence);
        assert_eq!(record_of(&folder).state, RunState::Interrupted);
        let ended = record().ended(RunState::Finished, None, Instant::now());
        folder.write_record(&ended).unwrap();
        assert_eq!(record_of(&folder), ended);
    }

    fn record_of(folder: &RunFolder) -> RunRecord {
        folder.record().unwrap().unwrap()
    }

    #[test]
    fn two_processes_may_work_on_one_run() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::of(&Store::at(dir.path()), "ring");
        assert!(!folder.is_attended());
        let one = folder.attend().unwrap();
        let two = folder.attend().unwrap();
        drop(one);
        assert!(folder.is_attended());
        drop(two);
        assert!(!folder.is_attended());
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    /// Fails if the test for a working process holds a lock meanwhile.
    #[test]
    fn those_who_ask_are_not_taken_for_those_who_work() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::of(&Store::at(dir.path()), "ring");
        drop(folder.attend().unwrap());
        folder.write(PRESENCE, "").unwrap(); // folder.write(PRESENCE, "").unwrap(); // as left by a killed process
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let folder = &folder;
                scope.spawn(move || {
                    for _ in 0..2000 {
                        assert!(!folder.is_attended());
                    }
                });
            }
        });
        let _working = folder.attend().unwrap();
        assert!(folder.is_attended());
    }

    #[test]
    fn a_damaged_record_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::of(&Store::at(dir.path()), "ring");
        folder.write(RECORD, "{\"format\": 1,").unwrap();
        let message = folder.record().unwrap_err().to_string();
        assert!(message.contains("run.json: does not parse"), "{message}");
    }

    #[test]
    fn the_identity_is_that_of_what_is_computed() {
        let one = record();
        let mut other = record();
        assert_eq!(one.identity, identity(&other.stages));
        other.stages[1].fingerprint = "cc".into();
        assert_ne!(one.identity, identity(&other.stages));
    }
}
