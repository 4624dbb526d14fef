//! Runs the trials of a sweep on the configured launcher, and tabulates them.

use super::batch::Batch;
use super::local::{Local, cores};
use super::placement::Placement;
use super::progress::{Results, Swept};
use super::slurm::{self, Submitted};
use crate::console::Console;
use crate::process::Signals;
use crate::store::Store;
use crate::sweep::{Halving, Sweep, SweepFolder, survivors};
use anyhow::Result;
use latent_align_stages::Error;
use std::time::Duration;

/// Interval between queries of Slurm.
const POLL: Duration = Duration::from_secs(2);

/// Where trials run.
#[derive(Debug, Clone, Copy)]
pub enum Launcher {
    /// On this machine.
    Local(Local),
    /// As a Slurm job array.
    Slurm {
        /// Maximum number of concurrent tasks; all by default.
        jobs: Option<usize>,
        /// Whether to wait until all have ended.
        wait: bool,
    },
}

/// Runs every unfinished trial of `sweep`, and tabulates all of them.
///
/// # Errors
/// Input errors of any trial, as far as they can be found without computing, before the first one runs;
/// [`Error::Cancelled`]; a table that cannot be written.
pub fn sweep(sweep: &Sweep, launcher: Launcher, store: &Store, console: &Console) -> Result<Swept> {
    let batch = Batch::plan(&sweep.trials, store, &sweep.file)?;
    store.open_for_writing()?;
    let folder = SweepFolder::of(store, &sweep.name);
    folder.tidy();
    let mut results = Results::new(sweep, &folder, &batch);
    results.write()?;
    let Some(halving) = &sweep.halving else {
        return run(sweep, &batch, launcher, results, console);
    };
    for rung in 0..halving.rungs.len() {
        if !climb(sweep, halving, rung, launcher, &mut results, console)? {
            return results.finish();
        }
    }
    let left = sweep.trials.iter().filter(|t| !results.is_dropped(t));
    let batch = Batch::plan(left, store, &sweep.file)?;
    run(sweep, &batch, launcher, results, console)
}

/// Runs the trials of a batch and tabulates them.
fn run(
    sweep: &Sweep,
    batch: &Batch,
    launcher: Launcher,
    mut results: Results,
    console: &Console,
) -> Result<Swept> {
    launch(sweep, batch, launcher, &mut results, console)?;
    results.finish()
}

/// Runs the trials of a rung and drops the variants that are not promoted; false if no variant is
/// promoted, or trials did not end.
fn climb(
    sweep: &Sweep,
    halving: &Halving,
    rung: usize,
    launcher: Launcher,
    results: &mut Results,
    console: &Console,
) -> Result<bool> {
    let folder = results.folder().clone();
    let steps = halving.budget.rungs[rung];
    let left = halving.rungs[rung].iter();
    let left = left.filter(|t| !results.is_dropped(t));
    let batch = Batch::plan(left, folder.store(), &sweep.file)?;
    let launcher = match launcher {
        Launcher::Slurm { jobs, .. } => Launcher::Slurm { jobs, wait: true },
        local => local,
    };
    // The figures of a rung are its own, not those of the full trials.
    let mut here = Results::of_rung(sweep, &folder, &batch);
    launch(sweep, &batch, launcher, &mut here, console)?;
    if here.is_waiting() {
        return Ok(false);
    }
    let measured = here.measured(&halving.budget.metric);
    let kept = survivors(&halving.budget, &measured);
    for (variant, value) in &measured {
        if !kept.contains(variant) {
            results.drop_variant(variant, steps, *value);
        }
    }
    console.note(&format!(
        "rung {steps}: {} of {} variants continue: {}",
        kept.len(),
        measured.len(),
        kept.join(", ")
    ));
    results.write()?;
    Ok(!kept.is_empty())
}

/// Runs the unfinished trials of `batch` on `launcher`.
fn launch(
    sweep: &Sweep,
    batch: &Batch,
    launcher: Launcher,
    results: &mut Results,
    console: &Console,
) -> Result<()> {
    match launcher {
        Launcher::Local(local) => launch_here(sweep, batch, local, results, console),
        Launcher::Slurm { jobs, wait } => {
            let array = submit(sweep, batch, jobs, results, console)?;
            match array.filter(|_| wait) {
                Some(array) => attend(&array, batch, results, console),
                None => Ok(()),
            }
        }
    }
}

fn launch_here(
    sweep: &Sweep,
    batch: &Batch,
    local: Local,
    results: &mut Results,
    console: &Console,
) -> Result<()> {
    let todo = batch.to_run();
    let placement = Placement::of(todo.iter().map(|trial| batch.trials[*trial]));
    let at_a_time = match local.jobs.min(todo.len()) {
        0 => String::new(),
        jobs => {
            let devices: String = placement
                .devices()
                .map(|name| format!(", {name}"))
                .collect();
            format!(", {jobs} at a time on {} cores{devices}", cores())
        }
    };
    let (name, finished) = (&sweep.name, batch.finished());
    let to_run = format!("{} to run{at_a_time}", todo.len());
    console.note(&format!("{name}: {finished}, {to_run}"));
    let folder = results.folder().clone();
    batch.prepare(&folder)?;
    let runs = todo.iter().map(|i| batch.records[*i].run.clone());
    results.starting(&runs.collect::<Vec<_>>())?;
    local.run(
        batch,
        &folder,
        placement,
        console,
        &mut |trial, standing| results.ended(&batch.records[trial].run, standing, console),
    )
}

/// Submits the unfinished trials, unless Slurm has them already. Returns the last array of the sweep, if
/// any.
fn submit(
    sweep: &Sweep,
    batch: &Batch,
    jobs: Option<usize>,
    results: &mut Results,
    console: &Console,
) -> Result<Option<Submitted>> {
    let folder = results.folder().clone();
    let last = Submitted::last(&folder);
    let queue = last.as_ref().map(Submitted::queue).transpose()?;
    let queue = queue.unwrap_or_default();
    let mut todo = batch.to_run();
    todo.retain(|trial| !queue.contains_key(batch.trials[*trial].name()));
    let (name, finished) = (&sweep.name, batch.finished());
    if todo.is_empty() {
        let queued = format!("{} are in Slurm's queue", queue.len());
        console.note(&format!("{name}: {finished}, {queued}"));
        return Ok(last);
    }
    if !queue.is_empty() {
        return Err(Error::input(format!(
            "{name}: {} trials are still in Slurm's queue as job {} and {} others are to run; wait for them, or \
             stop them with scancel",
            queue.len(),
            last.map_or(0, |array| array.job),
            todo.len()
        ))
        .into());
    }
    let devices = (todo.iter()).flat_map(|trial| batch.trials[*trial].devices());
    if let Some(told) = slurm::check_gpus(&sweep.slurm, devices.map(String::as_str))? {
        console.note(&told);
    }
    batch.prepare(&folder)?;
    let array = slurm::submit(batch, &todo, &sweep.slurm, jobs, &folder)?;
    let submitted = format!("{} submitted as job array {}", todo.len(), array.job);
    console.note(&format!("{name}: {finished}, {submitted}"));
    results.starting(&array.runs)?;
    Ok(Some(array))
}

/// Waits until Slurm has no task of `array` left, and records trials as they end.
fn attend(
    array: &Submitted,
    batch: &Batch,
    results: &mut Results,
    console: &Console,
) -> Result<()> {
    let signals = Signals::listen()?;
    let mut ended = vec![false; batch.trials.len()];
    loop {
        let queue = array.queue()?;
        for (trial, record) in batch.records.iter().enumerate() {
            let is_of_array = array.runs.contains(&record.run);
            if is_of_array && !ended[trial] && !queue.contains_key(&record.run) {
                ended[trial] = true;
                let standing = batch.standing(trial, results.folder().store());
                console.note(&format!("{}: {}", record.run, standing.state.word()));
                results.ended(&record.run, standing, console)?;
            }
        }
        if queue.is_empty() {
            return Ok(());
        }
        std::thread::sleep(POLL);
        if signals.received().is_some() {
            console.note("the trials continue in Slurm; scancel stops them");
            return Err(Error::Cancelled.into());
        }
    }
}
