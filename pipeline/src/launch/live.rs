//! Status of the running trials.

use super::worker::Worker;
use crate::console::{Console, visible};
use crate::store::{Progress, RunFolder, Store};
use crate::tables::duration;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Interval of status lines without a terminal.
const LINES: Duration = Duration::from_secs(30);
/// Interval of reading the processes' progress.
const LOOKS: Duration = Duration::from_millis(500);

/// The status of the trials: one line per process on a terminal, otherwise a periodic line for all.
pub struct Live<'a> {
    console: &'a Console,
    store: &'a Store,
    total: usize,
    ended: usize,
    bars: BTreeMap<String, ProgressBar>,
    next_look: Instant,
    next_line: Instant,
}

impl<'a> Live<'a> {
    /// Nothing runs yet; there will be `total` trials.
    pub fn new(console: &'a Console, total: usize, store: &'a Store) -> Self {
        let now = Instant::now();
        Self {
            console,
            store,
            total,
            ended: 0,
            bars: BTreeMap::new(),
            next_look: now,
            next_line: now + LINES,
        }
    }

    /// Adds a started process.
    pub fn add(&mut self, worker: &Worker) {
        if let Some(bar) = self.console.add_bar(0) {
            let style = ProgressStyle::with_template("{prefix}  {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(placed(worker));
            bar.set_message("starting");
            self.bars.insert(worker.run.clone(), bar);
        }
    }

    /// Removes an ended process.
    pub fn remove(&mut self, worker: &Worker) {
        if let Some(bar) = self.bars.remove(&worker.run) {
            bar.finish_and_clear();
        }
    }

    /// Shows the status of `workers`, if it is due.
    pub fn show<'w>(&mut self, workers: impl Iterator<Item = &'w Worker>) {
        let now = Instant::now();
        let is_line_due = self.bars.is_empty() && now >= self.next_line;
        if now < self.next_look || (self.bars.is_empty() && !is_line_due) {
            return;
        }
        self.next_look = now + LOOKS;
        let mut told = Vec::new();
        for worker in workers {
            let progress = RunFolder::of(self.store, &worker.run).progress();
            let doing = progress.as_ref().map_or("starting".into(), doing);
            if let Some(bar) = self.bars.get(&worker.run) {
                let elapsed = duration(worker.elapsed().as_secs_f64());
                bar.set_message(visible(&format!("{doing}  {elapsed}")).into_owned());
            }
            told.push(format!("{} ({doing})", placed(worker)));
        }
        if is_line_due && !told.is_empty() {
            self.next_line = now + LINES;
            let (ended, total) = (self.ended, self.total);
            let line = format!("{ended} of {total} ended; running: {}", told.join(", "));
            self.console.note(&line);
        }
    }

    /// Reports a finished trial.
    pub fn finished(&mut self, console: &Console, worker: &Worker) {
        self.ended += 1;
        console.note(&format!(
            "{} finished in {} ({} of {})",
            worker.run,
            duration(worker.elapsed().as_secs_f64()),
            self.ended,
            self.total
        ));
    }

    /// Reports a failed trial.
    pub fn failed(&mut self, console: &Console, worker: &Worker, why: &str) {
        self.ended += 1;
        console.error(&format!("{} failed: {why}", worker.run));
    }

    /// Clears the lines on the terminal.
    pub fn clear(&mut self) {
        for (_, bar) in std::mem::take(&mut self.bars) {
            bar.finish_and_clear();
        }
    }
}

/// A process, and its devices unless that is the CPU.
fn placed(worker: &Worker) -> String {
    match worker.devices.join(", ").as_str() {
        "cpu" => worker.run.clone(),
        devices => format!("{} on {devices}", worker.run),
    }
}

/// Short description of the progress.
pub fn doing(progress: &Progress) -> String {
    let Progress {
        stage,
        task,
        done,
        total,
        note,
    } = progress;
    let note = if note.is_empty() {
        String::new()
    } else {
        format!(", {note}")
    };
    format!("{stage}: {task} {done}/{total}{note}")
}
