//! States of all trials of a sweep, wherever they run.

use super::live::doing;
use super::progress::Results;
use super::slurm::Submitted;
use crate::config::{NAME, Overrides, is_name};
use crate::console::Console;
use crate::store::{RunState, Store};
use crate::sweep::{Standing, SweepFolder, SweepRecord, TrialRow, TrialState, Trials, load};
use crate::tables::{Field, Kind, Source};
use anyhow::Result;
use latent_align_stages::Error;
use std::collections::BTreeMap;

/// The state of a sweep.
pub struct Status {
    /// One row per trial.
    pub trials: Source<'static>,
    /// Counts of states, and the paths of the outputs.
    pub notes: String,
}

/// The state of the sweep `name`. Also updates its table and report.
///
/// # Errors
/// An error if there is no such sweep.
pub fn status(name: &str, store: &Store, console: &Console) -> Result<Status> {
    if !is_name(name) {
        return Err(Error::input(format!("sweep: name: found {name}, expected {NAME}")).into());
    }
    let folder = SweepFolder::of(store, name);
    if !folder.path().is_dir() {
        return Err(Error::input(format!(
            "{name}: no sweep of that name in {}; `latent-align sweep FILE` starts one",
            store.root().join("sweeps").display()
        ))
        .into());
    }
    let record = SweepRecord::read(folder.path())?;
    let queue = queue(&folder, console);
    let standings = record.trials.iter().map(|t| Standing::of(t, store));
    let standings = standings.collect();
    let trials = Trials::of(record, standings);
    let all: Vec<Stands> = (trials.rows.iter())
        .map(|row| Stands {
            row,
            queued: queue.get(&row.trial.run),
        })
        .collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for trial in &all {
        *counts.entry(trial.word()).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(s, n)| format!("{n} {s}")).collect();
    let mut notes = format!("\n{} trials: {}\n", all.len(), counts.join(", "));
    let table = table(&trials.record, &all);
    let sweep = load(&trials.record.file, &Overrides::default());
    // status must work if nothing can be written
    let brought_up_to_date = sweep
        .map_err(anyhow::Error::from)
        .and_then(|sweep| Results::of(&sweep, &folder, trials).finish());
    match brought_up_to_date {
        Ok(swept) => notes.push_str(&swept.paths()),
        Err(e) => console.note(&format!("warning: the table was not updated: {e:#}")),
    }
    Ok(Status {
        trials: table,
        notes,
    })
}

/// The table of the trials.
fn table(record: &SweepRecord, all: &[Stands]) -> Source<'static> {
    let trials = || all.iter().map(|t| &t.row.trial);
    let seeds = trials().map(|t| i64::try_from(t.seed).ok());
    let seconds = all.iter().map(|t| t.row.standing.seconds);
    let mut fields = vec![
        Field::text("trial", trials().map(|t| t.run.clone())),
        Field::text("variant", trials().map(|t| t.variant.clone())),
        Field::ints("seed", seeds),
        Field::text("state", all.iter().map(Stands::word)),
        Field::text("doing", all.iter().map(Stands::doing)),
        Field::floats("seconds", seconds).of(Kind::Seconds),
    ];
    let mut shown = vec!["trial", "state", "doing", "seconds"];
    if let Some(objective) = &record.objective {
        let figures = all.iter().map(|t| t.row.standing.figure(&objective.figure));
        fields.push(Field::floats(&objective.figure, figures).of(Kind::Figure));
        shown.push(&objective.figure);
    }
    Source::new(all.len(), fields).showing(&shown)
}

/// The state of a trial, and of its Slurm task.
struct Stands<'a> {
    row: &'a TrialRow,
    queued: Option<&'a String>,
}

impl Stands<'_> {
    /// The state of the trial, or that of its task in Slurm if it has not started, or not again.
    fn word(&self) -> &'static str {
        let state = self.row.standing.state;
        let settled = [RunState::Running, RunState::Finished].map(TrialState::Run);
        match self.queued {
            Some(_) if !settled.contains(&state) => "queued",
            _ => state.word(),
        }
    }

    /// What it does, waits for, or failed with.
    fn doing(&self) -> String {
        match (
            &self.row.standing.progress,
            self.queued,
            &self.row.standing.failure,
        ) {
            (Some(progress), ..) => doing(progress),
            (None, Some(queued), _) if !self.row.standing.is_finished() => {
                format!("Slurm: {queued}")
            }
            (None, _, Some(why)) => why.replace('\n', " "),
            _ => String::new(),
        }
    }
}

/// The sweep's tasks in Slurm. If Slurm cannot be queried, this is only reported, since trials may
/// have run elsewhere since.
fn queue(folder: &SweepFolder, console: &Console) -> BTreeMap<String, String> {
    let queue = Submitted::last(folder).map(|array| array.queue());
    match queue.transpose() {
        Ok(queue) => queue.unwrap_or_default(),
        Err(e) => {
            console.note(&format!("warning: {e}"));
            BTreeMap::new()
        }
    }
}
