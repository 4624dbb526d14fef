//! States and results of a sweep's trials, kept on disk at all times.

use super::batch::Batch;
use crate::console::Console;
use crate::report::write_sweep;
use crate::sweep::{
    Dropped, MARKDOWN, Standing, Sweep, SweepFolder, SweepRecord, Table, Trial, Trials, best,
    compare,
};
use anyhow::Result;
use std::path::PathBuf;

/// The outcome of a sweep.
pub struct Swept {
    /// The table with one row per variant, as Markdown.
    pub table: String,
    /// Path of the table.
    pub file: PathBuf,
    /// Path of the report.
    pub report: Option<PathBuf>,
    /// Names of failed trials.
    pub failed: Vec<String>,
    /// Names of trials that have not ended.
    pub waiting: Vec<String>,
    /// Number of trials.
    pub trials: usize,
    /// Claims of the sweep that do not hold.
    pub missed: Vec<String>,
}

/// The trials of a sweep, or of one of its rungs, and their states.
pub struct Results<'a> {
    sweep: &'a Sweep,
    folder: SweepFolder,
    trials: Trials,
    /// Whether these are the results of the sweep rather than of a rung.
    is_whole: bool,
    has_warned: bool,
}

impl Swept {
    /// The paths of the outputs, one per line, the report last.
    pub fn paths(&self) -> String {
        let report = self.report.iter().map(|r| r.display().to_string());
        let paths = std::iter::once(self.file.display().to_string()).chain(report);
        paths.map(|path| path + "\n").collect()
    }
}

impl<'a> Results<'a> {
    /// The trials of `batch` in their states at planning.
    pub fn new(sweep: &'a Sweep, folder: &SweepFolder, batch: &Batch) -> Self {
        let record = SweepRecord::new(sweep, batch.records.clone());
        Self::of(sweep, folder, Trials::of(record, batch.before.clone()))
    }

    /// The trials of a rung, for which nothing is written.
    pub fn of_rung(sweep: &'a Sweep, folder: &SweepFolder, batch: &Batch) -> Self {
        Self {
            is_whole: false,
            ..Self::new(sweep, folder, batch)
        }
    }

    /// The given `trials` of `sweep`.
    pub fn of(sweep: &'a Sweep, folder: &SweepFolder, trials: Trials) -> Self {
        Self {
            sweep,
            folder: folder.clone(),
            trials,
            is_whole: true,
            has_warned: false,
        }
    }

    pub fn folder(&self) -> &SweepFolder {
        &self.folder
    }

    /// Records that these trials run now, including those that failed before.
    pub fn starting(&mut self, runs: &[String]) -> Result<()> {
        for row in &mut self.trials.rows {
            if runs.contains(&row.trial.run) {
                row.standing = Standing::waiting();
            }
        }
        if self.is_whole {
            self.write()?;
        }
        Ok(())
    }

    /// Records the state of the trial `run`.
    pub fn ended(&mut self, run: &str, standing: Standing, console: &Console) -> Result<()> {
        let mut rows = self.trials.rows.iter_mut();
        if let Some(row) = rows.find(|row| row.trial.run == run) {
            row.standing = standing;
        }
        if !self.is_whole {
            return Ok(());
        }
        let table = self.write()?;
        let warnings = table.unknown_columns();
        if !self.has_warned && !warnings.is_empty() {
            self.has_warned = true;
            warnings.iter().for_each(|w| console.note(w));
        }
        Ok(())
    }

    /// Writes record and table in their current state, so that the sweep can be inspected while it
    /// runs.
    pub fn write(&self) -> Result<Table> {
        self.trials.record().write(self.folder.path())?;
        let table = self.table();
        table.write(self.folder.path())?;
        Ok(table)
    }

    fn table(&self) -> Table {
        Table::new(self.sweep, self.trials.clone())
    }

    /// Whether any trial has not ended.
    pub fn is_waiting(&self) -> bool {
        self.trials.rows.iter().any(|row| !row.standing.has_ended())
    }

    /// The mean of `figure` over the seeds of every variant; None if a seed lacks it.
    pub fn measured(&self, figure: &str) -> Vec<(&str, Option<f64>)> {
        let variants = self.trials.variants().into_iter();
        variants
            .map(|variant| (variant, self.trials.seeds(variant, figure).mean()))
            .collect()
    }

    /// Whether successive halving stopped the variant of `trial`.
    pub fn is_dropped(&self, trial: &Trial) -> bool {
        let rows = self.trials.of_variant(&trial.variant);
        rows.iter().any(|row| row.trial.dropped.is_some())
    }

    /// Records that a variant is stopped after `rung`, where its metric is `value`.
    pub fn drop_variant(&mut self, variant: &str, rung: u64, value: Option<f64>) {
        let rows = self.trials.rows.iter_mut();
        for row in rows.filter(|row| row.trial.variant == variant) {
            row.trial.dropped = Some(Dropped { rung, value });
            row.standing = Standing::dropped();
        }
    }

    /// Checks the claims, writes the final table, and returns the outcome.
    pub fn finish(self) -> Result<Swept> {
        let mut table = self.table();
        if let Some(objective) = &self.sweep.objective {
            table.best = best(objective, &self.trials);
        }
        let checked = compare(&self.sweep.checks, &self.trials);
        let mut missed = Vec::new();
        if !self.is_waiting() && !self.sweep.checks.is_empty() {
            table.checks = Some(checked.table);
            missed = checked.missed;
        }
        self.trials.record().write(self.folder.path())?;
        table.write(self.folder.path())?;
        // A failing report does not fail the sweep.
        let report = write_sweep(self.folder.store(), &self.trials.record.name);
        if let Err(why) = &report {
            tracing::warn!("no report of {}: {why:#}", self.trials.record.name);
        }
        let named = |is: fn(&Standing) -> bool| {
            let rows = self.trials.rows.iter().filter(|row| is(&row.standing));
            rows.map(|row| row.trial.run.clone()).collect()
        };
        Ok(Swept {
            table: table.whole(),
            file: self.folder.path().join(MARKDOWN),
            report: report.ok(),
            failed: named(Standing::is_failed),
            waiting: named(|s| !s.has_ended()),
            trials: self.trials.rows.len(),
            missed,
        })
    }
}
