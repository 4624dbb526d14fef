//! How the trials of a sweep stand while they run, on disk at any time, and what came of them.

use super::batch::Batch;
use crate::console::Console;
use crate::report::write_sweep;
use crate::sweep::{
    Dropped, MARKDOWN, Standing, Sweep, SweepFolder, SweepRecord, Table, Trial, Trials, best,
    compare,
};
use anyhow::Result;
use std::path::PathBuf;

/// What a sweep left.
pub struct Swept {
    /// The table with one row a variant, as Markdown.
    pub table: String,
    /// Where it was written.
    pub file: PathBuf,
    /// Where the report was written.
    pub report: Option<PathBuf>,
    /// The names of the trials that failed.
    pub failed: Vec<String>,
    /// The names of the trials that have not ended.
    pub waiting: Vec<String>,
    /// How many trials there are.
    pub trials: usize,
    /// The claims of the sweep that do not hold.
    pub missed: Vec<String>,
}

/// The trials of a sweep, or of a rung of it, and how they stand.
pub struct Results<'a> {
    sweep: &'a Sweep,
    folder: SweepFolder,
    trials: Trials,
    /// Whether the results are those of the sweep, and not of a rung.
    is_whole: bool,
    has_warned: bool,
}

impl Swept {
    /// The paths of what was written, a line each, the report last.
    pub fn paths(&self) -> String {
        let report = self.report.iter().map(|r| r.display().to_string());
        let paths = std::iter::once(self.file.display().to_string()).chain(report);
        paths.map(|path| path + "\n").collect()
    }
}

impl<'a> Results<'a> {
    /// The trials of `batch` as they stood when it was planned.
    pub fn new(sweep: &'a Sweep, folder: &SweepFolder, batch: &Batch) -> Self {
        let record = SweepRecord::new(sweep, batch.records.clone());
        Self::of(sweep, folder, Trials::of(record, batch.before.clone()))
    }

    /// The trials of a rung, of which nothing is written.
    pub fn of_rung(sweep: &'a Sweep, folder: &SweepFolder, batch: &Batch) -> Self {
        Self {
            is_whole: false,
            ..Self::new(sweep, folder, batch)
        }
    }

    /// These `trials`, which are those of `sweep`.
    pub fn of(sweep: &'a Sweep, folder: &SweepFolder, trials: Trials) -> Self {
        Self {
            sweep,
            folder: folder.clone(),
            trials,
            is_whole: true,
            has_warned: false,
        }
    }

    /// Where the sweep is.
    pub fn folder(&self) -> &SweepFolder {
        &self.folder
    }

    /// Takes note that these trials run now: what failed before is tried again.
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

    /// Takes note of how the trial that runs as `run` stands.
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

    /// Writes record and table as they are, so that one may look while the sweep runs.
    pub fn write(&self) -> Result<Table> {
        self.trials.record().write(self.folder.path())?;
        let table = self.table();
        table.write(self.folder.path())?;
        Ok(table)
    }

    fn table(&self) -> Table {
        Table::new(self.sweep, self.trials.clone())
    }

    /// True if any trial has not ended.
    pub fn is_waiting(&self) -> bool {
        self.trials.rows.iter().any(|row| !row.standing.has_ended())
    }

    /// The mean of `figure` over the seeds of every variant; none where any of them lacks it.
    pub fn measured(&self, figure: &str) -> Vec<(&str, Option<f64>)> {
        let variants = self.trials.variants().into_iter();
        variants
            .map(|variant| (variant, self.trials.seeds(variant, figure).mean()))
            .collect()
    }

    /// True if successive halving stopped the variant of `trial`.
    pub fn is_dropped(&self, trial: &Trial) -> bool {
        let rows = self.trials.of_variant(&trial.variant);
        rows.iter().any(|row| row.trial.dropped.is_some())
    }

    /// Notes that a variant goes no further than `rung`, where its metric is `value`.
    pub fn drop_variant(&mut self, variant: &str, rung: u64, value: Option<f64>) {
        let rows = self.trials.rows.iter_mut();
        for row in rows.filter(|row| row.trial.variant == variant) {
            row.trial.dropped = Some(Dropped { rung, value });
            row.standing = Standing::dropped();
        }
    }

    /// Compares with what is required, writes the table once more, and says what came of the sweep.
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
        // A report is not worth a sweep.
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
