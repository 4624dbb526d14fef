//! Receives a stage's progress, learning curves and tables, and writes them to console and directory.

use super::progress::Progress;
use crate::config::CheckpointConfig;
use crate::console::Console;
use crate::process::Signals;
use crate::store::{METRICS, RunFolder, Training};
use crate::tables::{Metrics, write_table};
use latent_align_stages::context::{Monitor, Table};
use latent_align_stages::persist::Snapshot;
use latent_align_stages::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The monitor of a stage, or of similar work.
pub struct StageMonitor<'a> {
    signals: &'a Signals,
    name: &'static str,
    dir: Option<PathBuf>,
    checkpoints: Option<(Training, CheckpointConfig)>,
    inner: Mutex<Inner<'a>>,
}

struct Inner<'a> {
    progress: Progress<'a>,
    metrics: Option<Metrics>,
    /// The first failure to write metrics, reported at the end so that a training is not lost.
    failed: Option<Error>,
    warnings: Vec<String>,
    /// Time of the next checkpoint.
    next_checkpoint: Instant,
}

/// Checkpoints take at most this fraction (1 / SHARE) of a training's time, unless set by steps.
const SHARE: u32 = 20;

impl<'a> StageMonitor<'a> {
    /// A monitor that writes into `dir` or, without one, only shows; other processes read progress in
    /// the folder of the `run`.
    pub fn new(
        console: &'a Console,
        signals: &'a Signals,
        name: &'static str,
        dir: Option<&Path>,
        run: Option<RunFolder>,
    ) -> Self {
        Self {
            signals,
            name,
            dir: dir.map(Path::to_owned),
            checkpoints: None,
            inner: Mutex::new(Inner {
                progress: Progress::new(console, name, run),
                metrics: dir.map(|d| Metrics::new(d.join(METRICS))),
                failed: None,
                warnings: Vec::new(),
                next_checkpoint: Instant::now(),
            }),
        }
    }

    /// The same, keeping checkpoints of `training`; its learning curves continue those in `metrics`.
    ///
    /// # Errors
    /// An error if they cannot be read.
    pub fn keeping(
        mut self,
        training: Training,
        config: CheckpointConfig,
        metrics: Option<&Path>,
    ) -> Result<Self> {
        let mut inner = self.inner();
        inner.next_checkpoint = Instant::now() + config.interval();
        if let Some((mine, kept)) = inner.metrics.as_mut().zip(metrics) {
            mine.restore(kept)?;
        }
        drop(inner);
        self.checkpoints = Some((training, config));
        Ok(self)
    }

    fn inner(&self) -> MutexGuard<'_, Inner<'a>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the progress bars, writes the remaining metrics, and returns the warnings.
    pub fn finish(&self) -> Result<Vec<String>> {
        let mut inner = self.inner();
        inner.progress.clear();
        if let Some(metrics) = &mut inner.metrics {
            metrics.write()?;
        }
        match inner.failed.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut inner.warnings)),
        }
    }
}

impl Monitor for StageMonitor<'_> {
    fn cancelled(&self) -> bool {
        // stages ask between any two pieces of work
        if let Ok(mut inner) = self.inner.try_lock() {
            inner.progress.beat();
        }
        self.signals.received().is_some()
    }

    fn progress(&self, task: &str, done: u64, total: u64, note: &str) {
        self.inner().progress.update(task, done, total, note);
    }

    fn phase(&self, name: &str) {
        self.inner().progress.begin_phase(name);
    }

    fn metrics(&self, step: u64, row: &[(&'static str, f64)]) {
        let inner = &mut *self.inner();
        if let Some(metrics) = &mut inner.metrics
            && let Err(error) = metrics.add(step, row)
        {
            tracing::warn!("{error}");
            inner.failed.get_or_insert(error);
        }
    }

    fn table(&self, name: &str, table: &Table) -> Result<()> {
        let Some(dir) = &self.dir else {
            return Err(Error::file(
                name,
                "no table can be written before the stage runs",
            ));
        };
        if !crate::config::is_name(name) {
            return Err(Error::file(name, "not the name of a table"));
        }
        write_table(&dir.join(format!("{name}.parquet")), table)
    }

    fn wants_checkpoint(&self, done: u64) -> bool {
        let Some((_, config)) = &self.checkpoints else {
            return false;
        };
        let by_steps = config.every_steps.is_some_and(|n| done.is_multiple_of(n));
        by_steps || Instant::now() >= self.inner().next_checkpoint
    }

    fn checkpoint(&self, state: &Snapshot) -> Result<()> {
        let Some((training, config)) = &self.checkpoints else {
            return Ok(());
        };
        let started = Instant::now();
        let mut inner = self.inner();
        let metrics = inner.metrics.as_ref();
        training.commit(state, config.keep, |file| {
            metrics.map_or(Ok(()), |metrics| metrics.write_to(file))
        })?;
        tracing::debug!(step = state.step(), "{}: checkpoint", self.name);
        let pause = config.interval().max(started.elapsed() * SHARE);
        inner.next_checkpoint = Instant::now() + pause;
        Ok(())
    }

    fn diverged(&self, step: u64, what: &str, rows: &[u64]) {
        let Some((training, _)) = &self.checkpoints else {
            return;
        };
        match training.diverged(step, what, rows) {
            Ok(file) => self.warn(&format!(
                "step, seed, configuration and rows of the batch are in {}",
                file.display()
            )),
            Err(error) => tracing::warn!("{error}"),
        }
    }

    fn warn(&self, message: &str) {
        tracing::warn!("{}: {message}", self.name);
        let inner = &mut *self.inner();
        if !inner.warnings.iter().any(|w| w == message) {
            inner.warnings.push(message.to_owned());
        }
    }
}
