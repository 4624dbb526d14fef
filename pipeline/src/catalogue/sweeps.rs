//! Tables of sweeps, one row each: the states of their trials, and the best variant.

use super::RunEntry;
use super::found::Catalogue;
use crate::config::hint;
use crate::store::Index;
use crate::sweep::{Direction, Standing, SweepRecord, TrialRecord, TrialRow, TrialState, Trials};
use crate::tables::{Field, Kind, Source};
use latent_align_stages::figures::SECONDS;
use latent_align_stages::{Error, Result};

/// A sweep.
pub struct SweepEntry {
    /// Its name, that of its folder.
    pub name: String,
    /// Its trials, or what is wrong with its record.
    pub trials: Result<Trials, String>,
}

/// The state of the trial with the run `run`, if it has one, from the index.
fn standing(trial: &TrialRecord, run: Option<&RunEntry>, index: &Index) -> Standing {
    let of = |state| Standing {
        state,
        ..Standing::waiting()
    };
    let Some(run) = run.filter(|_| trial.dropped.is_none()) else {
        return match trial.dropped {
            Some(_) => Standing::dropped(),
            None => Standing::waiting(),
        };
    };
    let Some(record) = &run.record else {
        return of(TrialState::Unreadable(run.state()));
    };
    if record.identity != trial.identity {
        return of(TrialState::Outdated);
    }
    let mut standing = of(TrialState::Run(record.state));
    standing.seconds = record.seconds;
    if standing.is_finished() {
        for card in run.stages.iter().filter_map(|s| index.card(&s.dir).ok()) {
            let figures = card.figures.iter();
            let figures = figures.map(|(name, value)| (index.symbols.text(*name), *value));
            let figures = figures.chain([(SECONDS, card.seconds)]);
            let stage = card.stage.name();
            let named = figures.map(|(name, value)| (format!("{stage}: {name}"), value));
            standing.figures.extend(named);
        }
    }
    standing
}

/// Reads the sweeps called `names` and the runs of their trials.
pub fn find(catalogue: &mut Catalogue, names: &[String]) -> Vec<SweepEntry> {
    let mut sweeps = Vec::new();
    let exists = catalogue.folders("runs");
    for name in names {
        let folder = catalogue.store.root().join("sweeps").join(name);
        let record = SweepRecord::read(&folder).map_err(|e| e.to_string().replace('\n', " "));
        let trials = record.map(|record| {
            let runs = record.trials.iter().map(|trial| trial.run.clone());
            let runs: Vec<String> = runs.filter(|r| exists.binary_search(r).is_ok()).collect();
            let mut runs = catalogue.runs(&runs).into_iter().peekable();
            let standings = record.trials.iter().map(|trial| {
                let run = runs.next_if(|run| run.name == trial.run);
                standing(trial, run.as_ref(), &catalogue.index)
            });
            let standings = standings.collect();
            Trials::of(record, standings)
        });
        sweeps.push(SweepEntry {
            name: name.clone(),
            trials,
        });
    }
    sweeps
}

impl Catalogue {
    /// All sweeps, by name.
    pub fn sweeps(&mut self) -> Vec<SweepEntry> {
        let names = self.folders("sweeps");
        find(self, &names)
    }

    /// The trials of the sweep called `name`, or in that folder.
    ///
    /// # Errors
    /// There is no such sweep, or its record is damaged.
    pub fn sweep(&mut self, name: &str) -> Result<Trials> {
        let names = self.folders("sweeps");
        let last = name
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or(name);
        if !names.iter().any(|n| n == last) {
            let near = hint(last, &names);
            return Err(Error::input(format!(
                "no sweep `{last}` in {}{near} (`latent-align list sweeps` lists them)",
                self.store.root().display()
            )));
        }
        let entry = find(self, &[last.to_owned()]).remove(0);
        entry.trials.map_err(Error::input)
    }
}

/// States of a trial that is neither finished nor running, and may be run again.
const UNFINISHED: [&str; 7] = [
    "waiting",
    "stopped",
    "interrupted",
    "outdated",
    "damaged",
    "unreadable",
    "unrecorded",
];

/// The table of `entries`.
pub fn sweeps(entries: &[SweepEntry]) -> Source<'static> {
    let all = || entries.iter().map(|e| e.trials.as_ref().ok());
    let records = || all().map(|trials| Some(&trials?.record));
    let text = |name: &str, of: &dyn Fn(&SweepRecord) -> String| {
        Field::text(name, records().map(|r| r.map_or(String::new(), of)))
    };
    let count = |name: &str, states: &[&str]| {
        let is = |row: &&TrialRow| states.contains(&row.standing.state.word());
        let of = |t: Option<&Trials>| t.map_or(0, |t| t.rows.iter().filter(is).count());
        Field::ints(name, all().map(|t| Some(of(t) as i64)))
    };
    let best: Vec<Option<(f64, String)>> = all().map(|trials| best(trials?)).collect();
    let figure = |r: &SweepRecord| r.objective.clone().map_or(String::new(), |o| o.figure);
    let count_all = |t: Option<&Trials>| t.map_or(0, |t| t.rows.len());
    let problems = entries.iter().map(|e| match &e.trials {
        Ok(_) => String::new(),
        Err(why) => format!("DAMAGED: {why}"),
    });
    let best_values = best.iter().map(|b| b.as_ref().map(|b| b.0));
    let best_runs = best.iter().map(|b| b.as_ref().map_or("", |b| b.1.as_str()));
    let fields = vec![
        Field::text("name", entries.iter().map(|e| e.name.as_str())),
        Field::ints("trials", all().map(|t| Some(count_all(t) as i64))),
        count("finished", &["finished"]),
        count("running", &["running"]),
        count("failed", &["failed"]),
        count("dropped", &["dropped"]),
        count("unfinished", &UNFINISHED),
        text("axes", &|r| r.axes.join(", ")),
        text("objective", &figure),
        text("direction", &direction),
        Field::floats("best", best_values).of(Kind::Figure),
        Field::text("best run", best_runs),
        text("file", &|r| r.file.display().to_string()),
        Field::text("problem", problems),
    ];
    let mut shown = vec![
        "name",
        "trials",
        "finished",
        "running",
        "failed",
        "unfinished",
        "objective",
        "best",
        "best run",
    ];
    if entries.iter().any(|e| e.trials.is_err()) {
        shown.push("problem");
    }
    Source::new(entries.len(), fields).showing(&shown)
}

fn direction(record: &SweepRecord) -> String {
    let direction = record
        .objective
        .as_ref()
        .map(|objective| objective.direction);
    match direction {
        Some(Direction::Minimise) => "minimise".to_owned(),
        Some(Direction::Maximise) => "maximise".to_owned(),
        None => String::new(),
    }
}

/// The best variant's mean objective, and the run of its best trial.
fn best(trials: &Trials) -> Option<(f64, String)> {
    let objective = trials.record.objective.as_ref()?;
    let best = *trials.ranked(objective).first()?;
    let mean = trials
        .seeds(&best.trial.variant, &objective.figure)
        .mean()?;
    Some((mean, best.trial.run.clone()))
}
