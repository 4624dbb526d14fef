//! Progress: bars on a terminal, otherwise a line every few seconds.

use crate::console::Console;
use crate::store::{self, RunFolder};
use crate::tables::duration;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use std::time::{Duration, Instant};

/// Minimum interval between lines of a task.
const INTERVAL: Duration = Duration::from_secs(5);
/// Minimum interval between updates for other processes.
const NEWS: Duration = Duration::from_secs(1);

/// The tasks of a stage.
pub struct Progress<'a> {
    console: &'a Console,
    stage: &'static str,
    tasks: Vec<Task>,
    /// The folder where other processes read progress, and the time of the next update.
    folder: Option<(RunFolder, Instant)>,
}

struct Task {
    name: String,
    bar: Option<ProgressBar>,
    started: Instant,
    /// Units already done when the task appeared; a resumed task does not start at zero.
    first: u64,
    next_line: Instant,
    finished: bool,
}

impl<'a> Progress<'a> {
    /// No tasks yet.
    pub fn new(console: &'a Console, stage: &'static str, folder: Option<RunFolder>) -> Self {
        Self {
            console,
            stage,
            tasks: Vec::new(),
            folder: folder.map(|folder| (folder, Instant::now())),
        }
    }

    /// `done` of `total` units of `name` are finished.
    pub fn update(&mut self, name: &str, done: u64, total: u64, note: &str) {
        let at = match self.tasks.iter().position(|t| t.name == name) {
            Some(at) => at,
            None => {
                self.tasks.push(self.task(name, done, total));
                self.tasks.len() - 1
            }
        };
        let now = Instant::now();
        if let Some((folder, next)) = &mut self.folder
            && now >= *next
        {
            *next = now + NEWS;
            folder.write_progress(&store::Progress {
                stage: self.stage.to_owned(),
                task: name.to_owned(),
                done,
                total,
                note: note.to_owned(),
            });
        }
        let task = &mut self.tasks[at];
        if let Some(bar) = &task.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(note.to_owned());
        }
        let finishes = done >= total && !task.finished;
        if finishes || (task.bar.is_none() && now >= task.next_line && !task.finished) {
            task.next_line = now + INTERVAL;
            task.finished = finishes;
            let line = line(task, done, total, note, now);
            if let Some(bar) = task.bar.take_if(|_| finishes) {
                bar.finish_and_clear();
            }
            self.console.note(&format!("{}: {line}", self.stage));
        }
    }

    fn task(&self, name: &str, done: u64, total: u64) -> Task {
        let now = Instant::now();
        let bar = self.console.add_bar(total).inspect(|bar| {
            let style = ProgressStyle::with_template(
                "{prefix} [{wide_bar}] {pos}/{len}  {rate}  {eta} left  {msg}",
            );
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style.with_key("rate", rate));
            bar.set_prefix(format!("{}: {name}", self.stage));
            bar.set_position(done);
            bar.reset_eta();
        });
        Task {
            name: name.to_owned(),
            bar,
            started: now,
            first: done,
            next_line: now + INTERVAL,
            finished: false,
        }
    }

    /// Clears the bars.
    pub fn clear(&mut self) {
        for task in self.tasks.drain(..) {
            if let Some(bar) = task.bar {
                bar.finish_and_clear();
            }
        }
    }
}

fn rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    let _ = write!(out, "{:.1}/s", state.per_sec());
}

fn line(task: &Task, done: u64, total: u64, note: &str, now: Instant) -> String {
    let elapsed = now.duration_since(task.started).as_secs_f64();
    let rate = done.saturating_sub(task.first) as f64 / elapsed.max(1e-9);
    let mut line = if done >= total {
        format!("{} {done}/{total} in {}", task.name, duration(elapsed))
    } else {
        let percent = 100.0 * done as f64 / total as f64;
        let left = (total - done) as f64 / rate;
        let left = if left.is_finite() {
            format!(", {} left", duration(left))
        } else {
            String::new()
        };
        format!(
            "{} {done}/{total} ({percent:.0} %), {rate:.1}/s{left}",
            task.name
        )
    };
    if !note.is_empty() {
        line.push_str(", ");
        line.push_str(note);
    }
    line
}
