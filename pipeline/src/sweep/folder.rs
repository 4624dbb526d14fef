//! `artifacts/sweeps/<name>/`: the record and table of a sweep, the configuration of every trial, and
//! what their processes said.

use super::trials::Trial;
use crate::store::{RunFolder, RunState, Store, write_whole};
use anyhow::{Context as _, Result};
use latent_align_stages::Error;
use std::path::{Path, PathBuf};

/// The folder of a sweep.
#[derive(Debug, Clone)]
pub struct SweepFolder {
    store: Store,
    dir: PathBuf,
}

impl SweepFolder {
    /// The folder of the sweep `name` in `store`. Touches nothing.
    pub fn of(store: &Store, name: &str) -> Self {
        Self {
            store: store.clone(),
            dir: store.root().join("sweeps").join(name),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The store that the trials fill.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The configuration of the trial that runs as `run`.
    pub fn trial_file(&self, run: &str) -> PathBuf {
        self.dir.join("trials").join(format!("{run}.yaml"))
    }

    /// What the process of the trial that runs as `run` said.
    pub fn log(&self, run: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{run}.log"))
    }

    /// Writes the configuration of `trial`, all paths absolute: an experiment like any other.
    pub fn write_trial(&self, trial: &Trial) -> Result<()> {
        let text = serde_yaml::to_string(&trial.loaded.experiment);
        let text = text.context("the configuration of a trial cannot be written")?;
        let name = format!("{}.yaml", trial.name());
        write_whole(&self.dir.join("trials"), &name, &text)?;
        let logs = self.dir.join("logs");
        Ok(std::fs::create_dir_all(&logs).map_err(|e| Error::file(&logs, e))?)
    }

    /// Gives way to a trial of the name `run` and another `identity`: a finished run of that name that
    /// computed something else keeps its links and summaries, under a name that ends in its own identity.
    pub fn keep_earlier(&self, run: &str, identity: &str) -> Result<()> {
        let folder = RunFolder::of(&self.store, run);
        let Ok(Some(record)) = folder.record() else {
            return Ok(());
        };
        let differs = record.identity != identity && record.state == RunState::Finished;
        if !differs || folder.is_attended() {
            return Ok(());
        }
        let short = record.identity.get(..8).unwrap_or(&record.identity);
        let place = folder.path().with_file_name(format!("{run}.{short}"));
        if !place.exists() {
            std::fs::rename(folder.path(), &place).map_err(|e| Error::file(&place, e))?;
        }
        Ok(())
    }
}
