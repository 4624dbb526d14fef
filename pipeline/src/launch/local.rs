//! Trials as processes on this machine.

use super::batch::Batch;
use super::live::Live;
use super::placement::Placement;
use super::schedule::Schedule;
use super::worker;
use super::worker::Worker;
use crate::console::Console;
use crate::process::Signals;
use crate::sweep::{Standing, SweepFolder};
use anyhow::Result;
use latent_align_stages::Error;
use signal_hook::consts::SIGTERM;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

/// Interval of polling the processes.
const TICK: Duration = Duration::from_millis(50);

/// How trials run on this machine.
#[derive(Debug, Clone, Copy)]
pub struct Local {
    /// Maximum number of concurrent processes.
    pub jobs: usize,
    /// Whether a failed trial stops the others.
    pub fail_fast: bool,
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Local {
    /// Runs the trials of `batch` that are not finished, on devices given by `placement`; calls `ended` with each and its state.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; a process that cannot be started. Running processes are then asked to
    /// stop, and waited for; those that finish anyway count.
    pub fn run(
        self,
        batch: &Batch,
        folder: &SweepFolder,
        placement: Placement,
        console: &Console,
        ended: &mut dyn FnMut(usize, Standing) -> Result<()>,
    ) -> Result<()> {
        let todo = batch.to_run();
        let needs: Vec<_> = todo.iter().map(|i| batch.needs[*i].clone()).collect();
        let mut running = Running {
            schedule: Schedule::new(&needs, self.jobs, cores()),
            placement,
            workers: BTreeMap::new(),
            live: Live::new(console, todo.len(), folder.store()),
            todo,
            batch,
            folder,
            fail_fast: self.fail_fast,
        };
        let outcome = running.all(console, ended);
        let stopped = running.stop(console, ended);
        outcome.and(stopped)
    }
}

struct Running<'a> {
    schedule: Schedule,
    placement: Placement,
    /// Processes by task number.
    workers: BTreeMap<usize, Worker>,
    live: Live<'a>,
    /// The trial of the batch for each trial of the schedule.
    todo: Vec<usize>,
    batch: &'a Batch<'a>,
    folder: &'a SweepFolder,
    fail_fast: bool,
}

impl Running<'_> {
    fn all(
        &mut self,
        console: &Console,
        ended: &mut dyn FnMut(usize, Standing) -> Result<()>,
    ) -> Result<()> {
        let signals = Signals::listen()?;
        loop {
            if signals.received().is_some() {
                return Err(Error::Cancelled.into());
            }
            while let Some((task, threads)) = self.schedule.next() {
                self.start(task, threads, console)?;
            }
            if self.workers.is_empty() {
                return Ok(());
            }
            std::thread::sleep(TICK);
            self.live.show(self.workers.values());
            // process all of them before stopping
            let mut has_failed = false;
            for (task, status) in self.reap()? {
                has_failed |= !self.end(task, status, console, ended)?;
            }
            if has_failed && self.fail_fast {
                console.note("--fail-fast: the other trials are stopped");
                return Ok(());
            }
        }
    }

    fn start(&mut self, task: usize, threads: usize, console: &Console) -> Result<()> {
        let started = self.schedule.task(task);
        let trial = self.batch.trials[self.todo[started.trial]];
        let run = trial.name();
        if let Some(until) = &started.until {
            let stage = self.batch.stage_of(until);
            console.note(&format!(
                "{stage} {until}, which several trials read: by {run}"
            ));
        }
        let devices = self.placement.place(trial.devices());
        let until = started.until.as_deref();
        let worker = Worker::start(run, until, &devices, threads, self.folder)?;
        self.live.add(&worker);
        self.workers.insert(task, worker);
        Ok(())
    }

    /// The processes that ended.
    fn reap(&mut self) -> Result<Vec<(usize, ExitStatus)>> {
        let mut ended = Vec::new();
        for (task, worker) in &mut self.workers {
            if let Some(status) = worker.ended()? {
                ended.push((*task, status));
            }
        }
        Ok(ended)
    }

    /// Records the end of a process; true if it succeeded.
    fn end(
        &mut self,
        task: usize,
        status: ExitStatus,
        console: &Console,
        ended: &mut dyn FnMut(usize, Standing) -> Result<()>,
    ) -> Result<bool> {
        let worker = self.workers.remove(&task).expect("it was reaped just now");
        self.live.remove(&worker);
        self.placement.free(&worker.devices);
        let trial = self.todo[self.schedule.task(task).trial];
        let is_whole = self.schedule.task(task).until.is_none();
        if status.success() {
            self.schedule.done(task);
            if is_whole {
                let standing = self.batch.standing(trial, self.folder.store());
                self.live.finished(console, &worker);
                ended(trial, standing)?;
            }
            return Ok(true);
        }
        let lost = self.schedule.failed(task);
        let mut standing = self.batch.standing(trial, self.folder.store());
        if !standing.is_failed() {
            standing = Standing::failed(worker::why(status, &worker.run, self.folder));
        }
        let why = standing.failure.clone().unwrap_or_default();
        self.live.failed(console, &worker, &why);
        for other in lost {
            let reason = format!("what it reads failed in {}: {why}", worker.run);
            ended(self.todo[other], Standing::failed(reason))?;
        }
        ended(trial, standing)?;
        Ok(false)
    }

    /// Asks running processes to stop, waits for them, and records those that ended for another
    /// reason.
    fn stop(
        &mut self,
        console: &Console,
        ended: &mut dyn FnMut(usize, Standing) -> Result<()>,
    ) -> Result<()> {
        let mut asked = BTreeSet::new();
        for (task, worker) in &mut self.workers {
            if worker.ask_to_stop() {
                asked.insert(*task);
            }
        }
        let mut outcome = Ok(());
        for task in self.workers.keys().copied().collect::<Vec<_>>() {
            match self.wait(task) {
                Some(status) if !(asked.contains(&task) && is_stopped(status)) => {
                    outcome = outcome.and(self.end(task, status, console, ended).map(drop));
                }
                _ => drop(self.workers.remove(&task)),
            }
        }
        self.live.clear();
        outcome
    }

    /// Waits for the process of `task`; None if its status is unknown.
    fn wait(&mut self, task: usize) -> Option<ExitStatus> {
        let worker = self.workers.get_mut(&task)?;
        loop {
            match worker.ended() {
                Ok(None) => std::thread::sleep(TICK),
                ended => return ended.ok().flatten(),
            }
        }
    }
}

/// Whether a process stopped because of SIGTERM, rather than finishing or failing.
fn is_stopped(status: ExitStatus) -> bool {
    status.signal() == Some(SIGTERM) || status.code() == Some(128 + SIGTERM)
}
