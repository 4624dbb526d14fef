//! How every trial of a sweep stands, wherever it runs.

use super::folder::SweepFolder;
use super::live::doing;
use super::record::SweepRecord;
use super::results::Results;
use super::slurm::Submitted;
use super::standing::{Standing, TrialState};
use super::{SweepFile, load};
use crate::config::{self, Overrides, is_name};
use crate::console::Console;
use crate::report::{columns, duration, number, short_name};
use crate::store::{RunState, Store};
use anyhow::Result;
use latent_align_stages::Error;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// A row a trial of the sweep `what`, its file or its name, and how many stand how. The table of the
/// sweep is brought up to date.
///
/// # Errors
/// There is no such sweep.
pub fn status(what: &Path, store: &Store, console: &Console) -> Result<String> {
    let name = match what.is_file() {
        true => config::read::<SweepFile>(what)?.name,
        false => what.to_string_lossy().into_owned(),
    };
    let folder = SweepFolder::of(store, &name);
    if !is_name(&name) || !folder.path().is_dir() {
        return Err(Error::input(format!(
            "{}: no sweep of that name in {}; `latent-align sweep FILE` starts one",
            what.display(),
            store.root().join("sweeps").display()
        ))
        .into());
    }
    let record = SweepRecord::read(folder.path())?;
    let queue = queue(&folder, console);
    let standings: Vec<Standing> = record
        .trials
        .iter()
        .map(|trial| Standing::of(trial, store))
        .collect();
    let figure = record.objective.as_ref().map(|o| o.figure.as_str());
    let mut header = vec!["trial", "state", "", "time"];
    header.extend(figure.map(short_name));
    let mut rows = vec![header.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>()];
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (trial, standing) in record.trials.iter().zip(&standings) {
        let queued = queue.get(&trial.run);
        let state = word(standing, queued);
        *counts.entry(state).or_default() += 1;
        let about = match (&standing.progress, &standing.failure, queued) {
            (Some(progress), ..) => doing(progress),
            (None, Some(why), _) => why.lines().next().unwrap_or_default().to_owned(),
            (None, None, Some(queued)) if !standing.has_ended() => format!("Slurm: {queued}"),
            _ => String::new(),
        };
        let mut row = vec![
            trial.run.clone(),
            state.to_owned(),
            about,
            standing.seconds.map_or(String::new(), duration),
        ];
        row.extend(figure.map(|f| standing.figure(f).map_or(String::new(), number)));
        rows.push(row);
    }
    let counts: Vec<String> = counts.iter().map(|(s, n)| format!("{n} {s}")).collect();
    let mut out = columns(&rows);
    let _ = writeln!(out, "\n{} trials: {}", standings.len(), counts.join(", "));
    match load(&record.file, &Overrides::default()) {
        Ok(sweep) => {
            let swept = Results::of(&sweep, &folder, record, standings).finish()?;
            out.push_str(&swept.paths());
        }
        Err(e) => console.note(&format!("warning: the table is left as it was: {e}")),
    }
    Ok(out)
}

/// What Slurm has of the sweep. That it cannot be asked is told, and no more: trials may have run
/// elsewhere since.
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

/// The state of a trial, that of its task in Slurm where it has not started.
fn word(standing: &Standing, queued: Option<&String>) -> &'static str {
    let state = standing.state;
    let has_started = state == TrialState::Run(RunState::Running);
    match queued {
        Some(_) if !standing.has_ended() && !has_started => "queued",
        _ => state.word(),
    }
}
