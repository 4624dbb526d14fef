//! `artifacts/sweeps/<name>/`: the record and table of a sweep, the configuration of every trial, and
//! the logs of their processes.

use super::trial::Trial;
use crate::store::{Store, write_whole};
use anyhow::{Context as _, Result};
use latent_align_hdf5::temporary::remove_abandoned;
use latent_align_stages::Error;
use std::path::{Path, PathBuf};

/// The folder of a sweep.
#[derive(Debug, Clone)]
pub struct SweepFolder {
    store: Store,
    dir: PathBuf,
}

impl SweepFolder {
    /// The folder of the sweep `name` in `store`. Accesses no files.
    pub fn of(store: &Store, name: &str) -> Self {
        Self {
            store: store.clone(),
            dir: store.root().join("sweeps").join(name),
        }
    }

    /// Removes leftovers of ended processes.
    pub fn tidy(&self) {
        for folder in [&self.dir, &self.dir.join("trials")] {
            remove_abandoned(folder, |_| true);
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The store of the trials' artifacts.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The configuration of the trial that runs as `run`.
    pub fn trial_file(&self, run: &str) -> PathBuf {
        self.dir.join("trials").join(format!("{run}.yaml"))
    }

    /// The log of the trial that runs as `run`.
    pub fn log(&self, run: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{run}.log"))
    }

    /// Writes the configuration of `trial` with absolute paths, as an ordinary experiment.
    pub fn write_trial(&self, trial: &Trial) -> Result<()> {
        let text = serde_yaml::to_string(&trial.loaded.experiment);
        let text = text.context("the configuration of a trial cannot be written")?;
        let name = format!("{}.yaml", trial.name());
        write_whole(&self.dir.join("trials"), &name, &text)?;
        let logs = self.dir.join("logs");
        Ok(std::fs::create_dir_all(&logs).map_err(|e| Error::file(&logs, e))?)
    }
}
