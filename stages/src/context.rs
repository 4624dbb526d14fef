//! The surroundings of a stage besides its configuration, and its outputs.

use crate::error::{Error, Result};
use crate::persist::{Resumable, Snapshot};
use crate::random::Streams;
use burn::tensor::Device;
use std::path::PathBuf;

/// How a stage communicates with its caller. The pipeline implements this with progress bars, parquet files and
/// signal handlers; tests use [`Silent`].
pub trait Monitor: Send + Sync {
    /// True once the user has asked to stop.
    fn cancelled(&self) -> bool;
    /// `done` of `total` units of `task` are finished; `note` is a short text such as the loss.
    fn progress(&self, task: &str, done: u64, total: u64, note: &str);
    /// Work of an unknown amount begins, such as `self-checks`; it lasts until the next phase or progress.
    fn phase(&self, _name: &str) {}
    /// One row of the learning curves. Names are stable within a stage; units are in the name or in the
    /// documentation.
    fn metrics(&self, step: u64, row: &[(&'static str, f64)]);
    /// Writes a table as `<name>.parquet` into the stage's directory.
    ///
    /// # Errors
    /// A file error if it cannot be written.
    fn table(&self, name: &str, table: &Table) -> Result<()>;
    /// A message that the user should read now and find again in the summary.
    fn warn(&self, message: &str);
    /// Whether to keep the state of a training after `done` steps; never by default.
    fn wants_checkpoint(&self, _done: u64) -> bool {
        false
    }
    /// Keeps the state of a training, from which a later [`Context`] resumes; does nothing by default.
    ///
    /// # Errors
    /// A file error if it cannot be written.
    fn checkpoint(&self, _state: &Snapshot) -> Result<()> {
        Ok(())
    }
    /// Called when `what` is not finite after the batch of `rows`, numbered as in the data.
    fn diverged(&self, _step: u64, _what: &str, _rows: &[u64]) {}
}

/// The surroundings of one execution of a stage.
pub struct Context<'a> {
    /// Random numbers of this stage under its seed.
    pub streams: Streams,
    /// Where tensors live; without autodiff (stages add it where they need gradients).
    pub device: Device,
    /// Devices of further replicas, for trainings that share each batch among several; without autodiff.
    pub replicas: Vec<Device>,
    /// The output directory. It exists and is empty.
    pub dir: PathBuf,
    /// The state from which the stage's training resumes; None to start from the beginning.
    pub resume: Option<Snapshot>,
    /// A directory for what must outlive an interruption of this run, such as paid evaluations. It need not exist.
    /// A later run of the same work finds it unchanged; it is removed once the stage has finished.
    pub kept: PathBuf,
    pub monitor: &'a dyn Monitor,
}

impl Context<'_> {
    /// Returns [`Error::Cancelled`] once the user has asked to stop.
    ///
    /// # Errors
    /// [`Error::Cancelled`] once the user has asked to stop.
    pub fn check_cancelled(&self) -> Result<()> {
        if self.monitor.cancelled() {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }

    /// The devices of a training that shares each batch, with autodiff: at least one, the first is [`Self::device`].
    pub fn tracked_devices(&self) -> Vec<Device> {
        let devices = std::iter::once(&self.device).chain(&self.replicas);
        devices.map(|device| device.clone().autodiff()).collect()
    }

    /// The step at which the training starts or resumes.
    pub fn first_step(&self) -> u64 {
        self.resume.as_ref().map_or(0, Snapshot::step)
    }

    /// Records a divergence that ended `trained` with the monitor; `rows` returns those of a step's batch.
    ///
    /// # Errors
    /// That of `trained`.
    pub fn explain<T>(&self, trained: Result<T>, rows: impl FnOnce(u64) -> Vec<u64>) -> Result<T> {
        if let Err(Error::Diverged { step, what }) = &trained {
            self.monitor.diverged(*step, what, &rows(*step));
        }
        trained
    }

    /// The last held-out loss measured before the checkpoint, if any.
    pub fn held_out_loss(&self) -> Option<f64> {
        self.resume.as_ref().and_then(Snapshot::held_out_loss)
    }

    /// Restores every part of a training from the checkpoint, if there is one.
    ///
    /// # Errors
    /// [`Error::Input`] if it belongs to another training.
    pub fn restore(&self, parts: &mut [(&str, &mut dyn Resumable)]) -> Result<()> {
        if let Some(state) = &self.resume {
            for (name, part) in parts {
                part.restore(name, state)?;
            }
        }
        Ok(())
    }

    /// After `done` of `steps` steps: keeps the state of `parts` if a checkpoint is due, at the end, and when the
    /// user asked to stop; `held_out_loss` is the last measured one.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if the user asked to stop; otherwise errors of keeping the state.
    pub fn checkpoint(
        &self,
        done: u64,
        steps: u64,
        held_out_loss: Option<f64>,
        parts: &[(&str, &dyn Resumable)],
    ) -> Result<()> {
        let cancelled = self.monitor.cancelled();
        if cancelled || done == steps || self.monitor.wants_checkpoint(done) {
            let state = Snapshot::of(done, held_out_loss, parts)?;
            self.monitor.checkpoint(&state)?;
        }
        if cancelled {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }
}

/// A monitor that ignores everything.
pub struct Silent;

impl Monitor for Silent {
    fn cancelled(&self) -> bool {
        false
    }
    fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
    fn metrics(&self, _: u64, _: &[(&'static str, f64)]) {}
    fn table(&self, _: &str, _: &Table) -> Result<()> {
        Ok(())
    }
    fn warn(&self, _: &str) {}
}

/// A monitor for tests that keeps warnings, and the number of columns of each table.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Warned {
    /// Warnings, in order.
    pub warnings: std::sync::Mutex<Vec<String>>,
    /// Names of tables with their number of columns.
    pub tables: std::sync::Mutex<Vec<(String, usize)>>,
}

#[cfg(test)]
impl Warned {
    /// Returns and clears the warnings.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock().unwrap())
    }
}

#[cfg(test)]
impl Monitor for Warned {
    fn cancelled(&self) -> bool {
        false
    }
    fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
    fn metrics(&self, _: u64, _: &[(&'static str, f64)]) {}
    fn table(&self, name: &str, table: &Table) -> Result<()> {
        let columns = table.columns.len();
        self.tables.lock().unwrap().push((name.to_owned(), columns));
        Ok(())
    }
    fn warn(&self, message: &str) {
        self.warnings.lock().unwrap().push(message.to_owned());
    }
}

/// A monitor for tests that keeps the state of a training after a step.
#[cfg(test)]
pub(crate) struct Kept {
    step: u64,
    state: std::sync::Mutex<Option<Snapshot>>,
}

#[cfg(test)]
impl Kept {
    /// After `step` steps.
    pub fn at(step: u64) -> Self {
        let state = std::sync::Mutex::default();
        Self { step, state }
    }

    /// The state; None before that step.
    pub fn state(self) -> Option<Snapshot> {
        self.state.into_inner().unwrap()
    }
}

#[cfg(test)]
impl Monitor for Kept {
    fn cancelled(&self) -> bool {
        false
    }
    fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
    fn metrics(&self, _: u64, _: &[(&'static str, f64)]) {}
    fn table(&self, _: &str, _: &Table) -> Result<()> {
        Ok(())
    }
    fn warn(&self, _: &str) {}
    fn wants_checkpoint(&self, done: u64) -> bool {
        done == self.step
    }
    fn checkpoint(&self, state: &Snapshot) -> Result<()> {
        if state.step() == self.step {
            *self.state.lock().unwrap() = Some(state.clone());
        }
        Ok(())
    }
}

/// A small table: named columns of equal length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Names and values of the columns, in order.
    pub columns: Vec<(String, Column)>,
}

/// The values of one column. A missing number is NaN.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Real numbers.
    Float(Vec<f64>),
    /// Counts and indices.
    Int(Vec<i64>),
    /// Labels.
    Text(Vec<String>),
}

impl Table {
    /// Appends a column of real numbers.
    pub fn float(&mut self, name: impl Into<String>, values: Vec<f64>) -> &mut Self {
        self.columns.push((name.into(), Column::Float(values)));
        self
    }
    /// Appends a column of integers.
    pub fn int(&mut self, name: impl Into<String>, values: Vec<i64>) -> &mut Self {
        self.columns.push((name.into(), Column::Int(values)));
        self
    }
    /// Appends a column of labels.
    pub fn text(&mut self, name: impl Into<String>, values: Vec<String>) -> &mut Self {
        self.columns.push((name.into(), Column::Text(values)));
        self
    }
}

/// The final figures of a stage, in reading order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Names (with units) and values.
    pub figures: Vec<(String, f64)>,
}

impl Summary {
    /// Appends a figure.
    pub fn add(&mut self, name: impl Into<String>, value: f64) -> &mut Self {
        self.figures.push((name.into(), value));
        self
    }
    /// The value called `name`.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(n, _)| n == name).map(|f| f.1)
    }
}
