//! What a stage is given besides its configuration, and what it gives back.

use crate::error::{Error, Result};
use crate::persist::{Resumable, Snapshot};
use crate::random::Streams;
use burn::tensor::Device;
use std::path::PathBuf;

/// How a stage talks to whoever runs it. The pipeline implements this with progress bars, parquet
/// files and signal handlers; tests with [`Silent`].
pub trait Monitor: Send + Sync {
    /// True once the user asked to stop.
    fn cancelled(&self) -> bool;
    /// `done` of `total` units of `task` are finished; `note` is a few words such as the loss.
    fn progress(&self, task: &str, done: u64, total: u64, note: &str);
    /// One row of the learning curves; names are stable within a stage, units in the name or docs.
    fn metrics(&self, step: u64, row: &[(&'static str, f64)]);
    /// Writes a table as `<name>.parquet` into the stage's directory.
    ///
    /// # Errors
    /// A file error where it cannot be written.
    fn table(&self, name: &str, table: &Table) -> Result<()>;
    /// Something the user should read now and find again in the summary.
    fn warn(&self, message: &str);
    /// Whether the state of a training after `done` steps should be kept now; never by default.
    fn wants_checkpoint(&self, _done: u64) -> bool {
        false
    }
    /// Keeps the state of a training, which a later [`Context`] goes on from; does not by default.
    ///
    /// # Errors
    /// A file error where it cannot be written.
    fn checkpoint(&self, _state: &Snapshot) -> Result<()> {
        Ok(())
    }
    /// After the batch of `rows`, as the data counts them, `what` was not finite.
    fn diverged(&self, _step: u64, _what: &str, _rows: &[u64]) {}
}

/// The surroundings of one run of one stage.
pub struct Context<'a> {
    /// Where random numbers come from: those of this stage under its seed.
    pub streams: Streams,
    /// Where tensors live; without autodiff (a stage adds it where it differentiates).
    pub device: Device,
    /// The directory to fill. It exists and is empty.
    pub dir: PathBuf,
    /// The state that the stage's training goes on from; none from the start.
    pub resume: Option<Snapshot>,
    /// A folder for what must outlive this run if it is interrupted, such as what was paid for. It need not exist; a later
    /// run of the same work finds it as it was left, and it goes once the stage is done.
    pub kept: PathBuf,
    /// The listener.
    pub monitor: &'a dyn Monitor,
}

impl Context<'_> {
    /// Returns [`Error::Cancelled`] once the user asked to stop.
    ///
    /// # Errors
    /// [`Error::Cancelled`] once the user asked to stop.
    pub fn check_cancelled(&self) -> Result<()> {
        if self.monitor.cancelled() {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }

    /// The step at which the training starts or goes on.
    pub fn first_step(&self) -> u64 {
        self.resume.as_ref().map_or(0, Snapshot::step)
    }

    /// Has the monitor record a divergence that `trained` ended in; `rows` are those of the batch of a step.
    ///
    /// # Errors
    /// That of `trained`.
    pub fn explain<T>(&self, trained: Result<T>, rows: impl FnOnce(u64) -> Vec<u64>) -> Result<T> {
        if let Err(Error::Diverged { step, what }) = &trained {
            self.monitor.diverged(*step, what, &rows(*step));
        }
        trained
    }

    /// The last held-out loss that was measured before it goes on, if one was.
    pub fn held_out_loss(&self) -> Option<f64> {
        self.resume.as_ref().and_then(Snapshot::held_out_loss)
    }

    /// Gives every part of a training the state it goes on from, if it does.
    ///
    /// # Errors
    /// [`Error::Input`] when that is the state of another training.
    pub fn restore(&self, parts: &mut [(&str, &mut dyn Resumable)]) -> Result<()> {
        if let Some(state) = &self.resume {
            for (name, part) in parts {
                part.restore(name, state)?;
            }
        }
        Ok(())
    }

    /// After `done` of `steps` steps: keeps the state of `parts` when it is time to, at the end, and when
    /// the user asked to stop; `held_out_loss` is the last one measured.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when the user asked to stop, what keeping it returns otherwise.
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

/// A monitor that listens to nothing.
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

/// A monitor of tests that keeps what is warned of, and the number of columns of each table.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Warned {
    /// Warnings, in order.
    pub warnings: std::sync::Mutex<Vec<String>>,
    /// Names of tables, and how many columns each has.
    pub tables: std::sync::Mutex<Vec<(String, usize)>>,
}

#[cfg(test)]
impl Warned {
    /// The warnings since they were last asked for.
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

/// A small table: named columns of one length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Name and values of each column, in order.
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

/// The final figures of a stage, in the order in which a reader wants them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Name (with its unit where it has one) and value.
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
