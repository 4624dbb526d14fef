//! Variants of an experiment, each with several seeds: ordinary runs, and a table of their figures.
//!
//! A trial is a run of its own name. Artifacts are addressed by content, so that stages which trials
//! share are computed once, and what is finished is not computed again.

mod checks;
mod file;
mod record;
mod table;
mod trials;

pub use file::Direction;
pub use record::{RECORD, SweepRecord, TrialRecord};
pub use trials::{Sweep, load};

use crate::config::all_or_nothing;
use crate::console::Console;
use crate::failure::describe;
use crate::report::Summary;
use crate::run::{Signals, run};
use crate::store::{Digests, Store, identity};
use anyhow::Result;
use latent_align_stages::Error;
use std::path::PathBuf;
use table::{Row, Table};

/// What a sweep left.
pub struct Swept {
    /// The table with one row a variant, as Markdown.
    pub table: String,
    /// Where it was written.
    pub file: PathBuf,
    /// The names of the trials that failed.
    pub failed: Vec<String>,
    /// How many trials there were.
    pub trials: usize,
    /// The claims of the sweep that do not hold.
    pub missed: Vec<String>,
}

/// Runs every trial of `sweep` that is not finished, and tabulates all of them. A trial that fails is
/// told and the others go on.
///
/// # Errors
/// Wrong input of any trial before the first one runs, as far as it can be found without computing;
/// [`Error::Cancelled`]; a table that cannot be written.
pub fn sweep(sweep: &Sweep, store: &Store, console: &Console) -> Result<Swept> {
    let identities = identities(sweep, store)?;
    let signals = Signals::listen()?;
    let mut table = Table::of(sweep);
    let folder = store.root().join("sweeps").join(&sweep.name);
    SweepRecord::new(sweep, &identities).write(&folder)?;
    for (number, trial) in sweep.trials.iter().enumerate() {
        if signals.received().is_some() {
            return Err(Error::Cancelled.into());
        }
        let (count, name) = (sweep.trials.len(), trial.name());
        console.note(&format!("trial {} of {count}: {name}", number + 1));
        let outcome = match run(&trial.loaded, store, console) {
            Ok(summary) => Ok(figures(&summary)),
            Err(error) if stops_everything(&error) => return Err(error),
            Err(error) => {
                let why = describe(&error);
                console.error(&format!("{name} failed: {why}"));
                Err(why)
            }
        };
        let is_first = outcome.is_ok() && !table.rows.iter().any(|row| row.outcome.is_ok());
        table.rows.push(Row::new(trial, outcome));
        if is_first {
            table.unknown_columns().iter().for_each(|w| console.note(w));
        }
        // After each trial, so that one may look while the sweep runs.
        table.write(&folder)?;
    }
    let checked = checks::compare(&sweep.checks, &table);
    if !sweep.checks.is_empty() {
        table.checks = Some(checked.table);
        table.write(&folder)?;
    }
    let failed = table.rows.iter().filter(|row| row.outcome.is_err());
    Ok(Swept {
        failed: failed.map(|row| row.run.clone()).collect(),
        trials: sweep.trials.len(),
        table: table.whole(),
        file: folder.join(table::MARKDOWN),
        missed: checked.missed,
    })
}

/// What each trial computes. Every trial is planned for it, so that missing inputs and wrong
/// references surface before anything is trained.
fn identities(sweep: &Sweep, store: &Store) -> Result<Vec<String>> {
    let mut digests = Digests::of_store(store.root());
    let mut identities = Vec::new();
    let mut wrong: Vec<String> = Vec::new();
    for trial in &sweep.trials {
        match crate::plan::make(&trial.loaded, store, &mut digests) {
            Ok(plan) => identities.push(identity(&plan.stages_of(&plan.experiments[0]))),
            Err(error) => {
                let message = format!("variant `{}`: {error}", trial.variant);
                if !wrong.contains(&message) {
                    wrong.push(message); // once for all seeds
                }
            }
        }
    }
    digests.save();
    all_or_nothing(&sweep.file, wrong)?;
    Ok(identities)
}

/// Every figure of a run as `stage: figure`, by stage.
fn figures(summary: &Summary) -> Vec<(String, f64)> {
    let stages = summary.stages().iter();
    stages
        .flat_map(|stage| {
            let figures = stage.figures.0.iter();
            figures.map(|(name, value)| (format!("{}: {name}", stage.stage), *value))
        })
        .collect()
}

/// True if the other trials must not run either: the user asked to stop, or nobody reads any more.
fn stops_everything(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let cancelled = matches!(cause.downcast_ref(), Some(Error::Cancelled));
        let io = cause.downcast_ref::<std::io::Error>();
        cancelled || io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
