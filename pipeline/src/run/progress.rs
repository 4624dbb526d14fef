//! Progress: bars on a terminal, otherwise a line every few seconds.

use crate::console::Console;
use crate::store::{self, RunFolder};
use crate::tables::duration;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde_json::{Map, Value};
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
    /// Work of an unknown amount, until a task goes on.
    phase: Option<Phase>,
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
    /// Units in the last line.
    told: u64,
    finished: bool,
}

struct Phase {
    name: String,
    spinner: Option<ProgressBar>,
    started: Instant,
    next_line: Instant,
}

impl<'a> Progress<'a> {
    /// No tasks yet.
    pub fn new(console: &'a Console, stage: &'static str, folder: Option<RunFolder>) -> Self {
        Self {
            console,
            stage,
            tasks: Vec::new(),
            phase: None,
            folder: folder.map(|folder| (folder, Instant::now())),
        }
    }

    /// Work of an unknown amount begins.
    pub fn begin_phase(&mut self, name: &str) {
        self.end_phase();
        let spinner = self.console.add_bar(0).inspect(|bar| {
            let style = ProgressStyle::with_template("{prefix} {spinner} {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(format!("{}: {name}", self.stage));
            bar.enable_steady_tick(NEWS);
        });
        let now = Instant::now();
        self.phase = Some(Phase {
            name: name.to_owned(),
            spinner,
            started: now,
            next_line: now + INTERVAL,
        });
    }

    fn end_phase(&mut self) {
        let spinner = self.phase.take().and_then(|phase| phase.spinner);
        spinner.iter().for_each(ProgressBar::finish_and_clear);
    }

    /// The work goes on: a phase says so every few seconds.
    pub fn beat(&mut self) {
        let now = Instant::now();
        let Some(phase) = self.phase.as_mut().filter(|phase| now >= phase.next_line) else {
            return;
        };
        phase.next_line = now + INTERVAL;
        if phase.spinner.is_none() {
            let elapsed = duration(now.duration_since(phase.started).as_secs_f64().round());
            (self.console).note(&format!("{}: {}, for {elapsed}", self.stage, phase.name));
        }
    }

    /// `done` of `total` units of `name` are finished.
    pub fn update(&mut self, name: &str, done: u64, total: u64, note: &str) {
        self.end_phase();
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
        let is_due = task.bar.is_none() && now >= task.next_line && done != task.told;
        if finishes || (is_due && !task.finished) {
            task.next_line = now + INTERVAL;
            task.told = done;
            task.finished = finishes;
            let pace = Pace::of(task.first, done, total, now.duration_since(task.started));
            let line = line(&task.name, &pace, note);
            if let Some(bar) = task.bar.take_if(|_| finishes) {
                bar.finish_and_clear();
            }
            let stage = self.stage;
            (self.console).note_with(&format!("{stage}: {line}"), || {
                fields(stage, &task.name, &pace, note)
            });
        }
    }

    fn task(&self, name: &str, done: u64, total: u64) -> Task {
        let now = Instant::now();
        let bar = self.console.add_bar(total).inspect(|bar| {
            let style =
                ProgressStyle::with_template("{prefix} [{wide_bar}] {pos}/{len}  {pace}  {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            let pace = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let total = state.len().unwrap_or(total);
                let _ = out.write_str(&Pace::of(done, state.pos(), total, state.elapsed()).text());
            };
            bar.set_style(style.with_key("pace", pace));
            bar.set_prefix(format!("{}: {name}", self.stage));
            bar.set_position(done);
            // its pace and its time are shown also while nothing arrives
            bar.enable_steady_tick(NEWS);
        });
        Task {
            name: name.to_owned(),
            bar,
            started: now,
            first: done,
            next_line: now + INTERVAL,
            told: done,
            finished: false,
        }
    }

    /// Clears the bars.
    pub fn clear(&mut self) {
        self.end_phase();
        for task in self.tasks.drain(..) {
            if let Some(bar) = task.bar {
                bar.finish_and_clear();
            }
        }
    }
}

/// How fast a task goes on.
struct Pace {
    done: u64,
    total: u64,
    elapsed: f64,
    /// Units per second; none before the first.
    rate: Option<f64>,
    /// Seconds left; none until enough is done for a forecast.
    left: Option<f64>,
}

impl Pace {
    /// The pace of a task that was at `first`, and `elapsed` later at `done`.
    fn of(first: u64, done: u64, total: u64, elapsed: Duration) -> Self {
        let elapsed = elapsed.as_secs_f64();
        let units = done.saturating_sub(first);
        let rate = (units > 0 && elapsed > 0.0).then(|| units as f64 / elapsed);
        let means_something = elapsed >= EARLIEST && units as f64 >= SHARE * total as f64;
        let left = rate.map(|rate| total.saturating_sub(done) as f64 / rate);
        Self {
            done,
            total,
            elapsed,
            rate,
            left: left.filter(|left| means_something && *left > 0.0),
        }
    }

    /// Rate and time left as far as they are known.
    fn text(&self) -> String {
        let rate = self.rate.map(|rate| format!("{rate:.1}/s"));
        let left = self.left.map(|left| format!("{} left", duration(left)));
        rate.into_iter().chain(left).collect::<Vec<_>>().join(", ")
    }
}

/// A forecast needs this many seconds and this share of the work.
const EARLIEST: f64 = 2.0;
const SHARE: f64 = 0.01;

fn line(name: &str, pace: &Pace, note: &str) -> String {
    let Pace { done, total, .. } = pace;
    let mut line = if done >= total {
        format!("{name} {done}/{total} in {}", duration(pace.elapsed))
    } else {
        let percent = 100.0 * *done as f64 / *total as f64;
        format!("{name} {done}/{total} ({percent:.0} %)")
    };
    let text = pace.text();
    let more = [if done < total { &text } else { "" }, note];
    for part in more.into_iter().filter(|part| !part.is_empty()) {
        line.push_str(", ");
        line.push_str(part);
    }
    line
}

/// The same for programs; figures of the note, such as `loss 24.5`, have their own fields.
fn fields(stage: &str, task: &str, pace: &Pace, note: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut add = |name: &str, value: Value| {
        fields.insert(name.replace(' ', "_"), value);
    };
    add("stage", stage.into());
    add("task", task.into());
    add("step", pace.done.into());
    add("steps", pace.total.into());
    add("seconds", pace.elapsed.into());
    add("rate", pace.rate.into());
    add("seconds_left", pace.left.into());
    for part in note.split(", ") {
        if let Some((name, value)) = part.rsplit_once(' ')
            && let Ok(value) = value.parse::<f64>()
        {
            add(name, value.into());
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(first: u64, done: u64, total: u64, seconds: f64) -> Pace {
        Pace::of(first, done, total, Duration::from_secs_f64(seconds))
    }

    /// Fails if nothing done makes a rate of zero or an endless time.
    #[test]
    fn a_forecast_is_made_only_when_it_means_something() {
        assert_eq!(line("a", &pace(0, 0, 1300, 60.0), ""), "a 0/1300 (0 %)");
        assert_eq!(pace(0, 1, 1_000_000, 60.0).text(), "0.0/s");
        assert_eq!(pace(0, 100, 1000, 0.5).text(), "200.0/s");
        assert_eq!(pace(0, 100, 1000, 10.0).text(), "10.0/s, 1 min 30 s left");
        // a resumed task is not as fast as what it resumed from
        assert_eq!(pace(900, 910, 1000, 10.0).text(), "1.0/s, 1 min 30 s left");
        assert_eq!(
            line("a", &pace(0, 10, 10, 3.0), "loss 2.5"),
            "a 10/10 in 3.0 s, loss 2.5"
        );
    }

    #[test]
    fn the_figures_of_a_note_are_fields_for_programs() {
        let found = fields(
            "pretrain-flow",
            "training",
            &pace(0, 10, 100, 5.0),
            "loss 2.5, no best yet",
        );
        assert_eq!(
            (&found["step"], &found["rate"], &found["loss"]),
            (&10.into(), &2.0.into(), &2.5.into())
        );
        assert!(!found.contains_key("no_best"), "{found:?}");
    }
}
