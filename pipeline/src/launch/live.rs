//! What the trials are doing, while they run.

use super::worker::Worker;
use crate::console::{Console, visible};
use crate::store::{Progress, RunFolder, Store};
use crate::tables::duration;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A line about all that runs, where there is no terminal.
const LINES: Duration = Duration::from_secs(30);
/// A look at what the processes say.
const LOOKS: Duration = Duration::from_millis(500);

/// The status of the trials: a line each on a terminal, a line for all now and then elsewhere.
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
    /// Nothing runs yet; `total` trials will.
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

    /// A process was started.
    pub fn add(&mut self, worker: &Worker) {
        if let Some(bar) = self.console.add_bar(0) {
            let style = ProgressStyle::with_template("{prefix}  {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(worker.run.clone());
            bar.set_message("starting");
            self.bars.insert(worker.run.clone(), bar);
        }
    }

    /// A process ended.
    pub fn remove(&mut self, worker: &Worker) {
        if let Some(bar) = self.bars.remove(&worker.run) {
            bar.finish_and_clear();
        }
    }

    /// Shows what `workers` do, if it is time to.
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
            told.push(format!("{} ({doing})", worker.run));
        }
        if is_line_due && !told.is_empty() {
            self.next_line = now + LINES;
            let (ended, total) = (self.ended, self.total);
            let line = format!("{ended} of {total} ended; running: {}", told.join(", "));
            self.console.note(&line);
        }
    }

    /// A trial is finished.
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

    /// A trial failed.
    pub fn failed(&mut self, console: &Console, worker: &Worker, why: &str) {
        self.ended += 1;
        console.error(&format!("{} failed: {why}", worker.run));
    }

    /// Takes the lines off the terminal.
    pub fn clear(&mut self) {
        for (_, bar) in std::mem::take(&mut self.bars) {
            bar.finish_and_clear();
        }
    }
}

/// Progress in a few words.
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
