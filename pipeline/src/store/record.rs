//! `run.json`: how a run stands, for people and programs that look at many.
//!
//! The truth about results is in the manifests of the artifacts that the run leads to; this says
//! which these are, and how the run came to its end.

use super::Stage;
use super::clock::Timestamp;
use super::layout::RECORD;
use super::lock::leads_to;
use super::shared::locks_are_seen_by_all_hosts;
use super::{RunFolder, disk, open_lock};
use crate::process::host;
use latent_align_stages::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Locked, shared, by every process that works on the run; the kernel frees it when one dies.
const PRESENCE: &str = ".running";
/// The format of the record; a reader refuses a newer one.
const FORMAT: u32 = 1;
/// No record is larger.
const LARGEST: u64 = 1024 * 1024;

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The format of this file.
    pub format: u32,
    /// The experiment's name.
    pub name: String,
    /// Which configuration of this name it is of: the first is 1.
    #[serde(default = "first")]
    pub entry: u64,
    /// Whether it is finished.
    pub state: RunState,
    /// What it computes: a hash of the fingerprints of its stages.
    pub identity: String,
    /// The configuration it was started with.
    pub file: PathBuf,
    /// The seed of its random streams.
    pub seed: u64,
    /// Where it computes.
    pub device: String,
    /// When it was started.
    pub started: Timestamp,
    /// When it ended, however it did.
    pub finished: Option<Timestamp>,
    /// How long that took.
    pub seconds: Option<f64>,
    /// The process that ran it, and the host of that.
    pub process: u32,
    /// The host of the process.
    pub host: String,
    /// Why it failed.
    pub failure: Option<String>,
    /// Its stages in order, finished or not.
    pub stages: Vec<StageOfRun>,
}

/// A stage of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageOfRun {
    /// The stage.
    pub stage: Stage,
    /// The artifact it leads to.
    pub fingerprint: String,
}

/// Whether a run is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Every stage has its artifact.
    Finished,
    /// A process works on it.
    Running,
    /// It was stopped on request.
    Stopped,
    /// Its process died. Never written: it is a run said to be running on which nobody works.
    Interrupted,
    /// A stage failed.
    Failed,
}

impl RunState {
    /// What tables call it.
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
        }
    }

    /// The same of a run with these stages.
    pub fn with_stages(mut self, stages: Vec<StageOfRun>) -> Self {
        self.identity = identity(&stages);
        self.stages = stages;
        self
    }

    /// The same as the entry `number` of its name.
    pub fn numbered(mut self, number: u64) -> Self {
        self.entry = number;
        self
    }

    /// The same, ended as `state`.
    pub fn ended(mut self, state: RunState, failure: Option<String>, since: Instant) -> Self {
        self.state = state;
        self.failure = failure;
        self.finished = Some(Timestamp::now());
        self.seconds = Some((since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0);
        self
    }
}

/// The number of a run's first entry; that of every run whose record does not say it.
fn first() -> u64 {
    1
}

/// A hash of what the stages of a run are computed from: equal for two runs that compute the same.
pub fn identity(stages: &[StageOfRun]) -> String {
    let mut hasher = blake3::Hasher::new();
    for stage in stages {
        hasher.update(stage.stage.name().as_bytes());
        hasher.update(stage.fingerprint.as_bytes());
        hasher.update(&[0]);
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

/// A claim that this process works on a run, until dropped. Others may as well; the last one takes the
/// file away.
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
    /// Tells others that this process works on the run.
    ///
    /// # Errors
    /// [`Error::File`] when the folder cannot be written.
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
            // The last one who attended took it away between our opening and our locking.
        }
    }

    /// True if some process works on the run. Whoever asks takes no lock, so that two who ask do not take
    /// each other for one who works.
    pub fn is_attended(&self) -> bool {
        let file = File::open(self.path().join(PRESENCE));
        file.is_ok_and(|file| open_lock::is_held(&file))
    }

    /// Removes what says that a process works on the run, if none does.
    pub fn remove_unattended(&self) {
        let path = self.path().join(PRESENCE);
        let Ok(file) = open(&path, false) else {
            return;
        };
        // as the last one who attends would have
        if open_lock::try_exclusive(&file) {
            self.clear_progress();
            let _ = std::fs::remove_file(&path);
        }
    }

    /// How the run stands; none if it was never run.
    ///
    /// # Errors
    /// [`Error::File`] when it is there and cannot be opened; [`Error::Input`] when it does not parse or is
    /// of a newer format.
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
        // a process of another host may be one that this host cannot see
        let would_be_seen = || record.host == host() || locks_are_seen_by_all_hosts(self.path());
        if record.state == RunState::Running && !self.is_attended() && would_be_seen() {
            record.state = RunState::Interrupted;
        }
        Ok(Some(record))
    }

    /// Writes the record, all of it or nothing.
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

    /// Defect that turns it red: whoever asks whether a run is worked on holds its lock meanwhile.
    #[test]
    fn those_who_ask_are_not_taken_for_those_who_work() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::of(&Store::at(dir.path()), "ring");
        drop(folder.attend().unwrap());
        folder.write(PRESENCE, "").unwrap(); // as a killed process leaves it
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
