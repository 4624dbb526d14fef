//! `sweep.json`: the trials of a sweep, for programs that read its results.
//!
//! The state of a trial is in the record of its run.

use super::file::{Constraint, Objective};
use super::halving::Dropped;
use super::trial::Trial;
use super::trials::Sweep;
use crate::store::{as_text, write_whole};
use latent_align_stages::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The file's name.
pub const RECORD: &str = "sweep.json";
/// The format of the record; newer ones are refused.
const FORMAT: u32 = 1;
/// The largest size of a record in bytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// The contents of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepRecord {
    /// The format of this file.
    pub format: u32,
    /// The sweep's name.
    pub name: String,
    /// The file it was read from.
    #[serde(serialize_with = "as_text")]
    pub file: PathBuf,
    /// The keys that any trial sets, in order.
    pub axes: Vec<String>,
    /// The objective.
    pub objective: Option<Objective>,
    /// The bounds on the figures of a trial.
    pub constraints: Vec<Constraint>,
    /// The figures to tabulate, as `stage: figure`.
    pub columns: Vec<String>,
    /// Its trials, grouped by variant.
    pub trials: Vec<TrialRecord>,
}

/// The record of `trial`, whose run will have this `identity`.
pub fn trial_record(trial: &Trial, identity: String) -> TrialRecord {
    TrialRecord {
        run: trial.name().to_owned(),
        variant: trial.variant.clone(),
        seed: trial.loaded.experiment.seed,
        identity,
        settings: trial.settings.clone(),
        dropped: None,
    }
}

/// A trial of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// The name of its run.
    pub run: String,
    /// The variant's name.
    pub variant: String,
    /// Its seed.
    pub seed: u64,
    /// The identity in the record of its run if that run belongs to this trial.
    pub identity: String,
    /// The keys it sets, and their values.
    pub settings: Map<String, Value>,
    /// Where successive halving dropped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Dropped>,
}

impl SweepRecord {
    /// The record of `sweep` with these `trials`.
    pub fn new(sweep: &Sweep, trials: Vec<TrialRecord>) -> Self {
        let mut axes: Vec<String> = Vec::new();
        for key in trials.iter().flat_map(|trial| trial.settings.keys()) {
            if !axes.contains(key) {
                axes.push(key.clone());
            }
        }
        Self {
            format: FORMAT,
            name: sweep.name.clone(),
            file: std::path::absolute(&sweep.file).unwrap_or_else(|_| sweep.file.clone()),
            axes,
            objective: sweep.objective.clone(),
            constraints: sweep.constraints.clone(),
            columns: sweep.columns.clone(),
            trials,
        }
    }

    /// The record of the sweep in `folder`.
    ///
    /// # Errors
    /// [`Error::Input`] if it is missing, does not parse, or has a newer format.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(RECORD);
        let wrong = |why: String| Error::input(format!("{}: {why}", path.display()));
        let size = std::fs::metadata(&path).map(|m| m.len());
        if size.map_err(|e| wrong(e.to_string()))? > LARGEST {
            return Err(wrong("is larger than any record".into()));
        }
        let bytes = std::fs::read(&path).map_err(|e| wrong(e.to_string()))?;
        let record: Self = serde_json::from_slice(&bytes)
            .map_err(|e| wrong(format!("does not parse ({e}); run the sweep again")))?;
        if record.format > FORMAT {
            return Err(wrong(format!(
                "written by a newer version (format {}, this version reads up to {FORMAT}); update latent-align",
                record.format
            )));
        }
        Ok(record)
    }

    /// Atomically writes it into `folder`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("a record has nothing but text");
        write_whole(folder, RECORD, &(text + "\n"))
    }
}
