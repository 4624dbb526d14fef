//! Sweeps, one a row: how their trials stand, and which is the best.

use super::RunEntry;
use super::found::Catalogue;
use crate::config::hint;
use crate::store::Index;
use crate::sweep::{Constraint, Direction, Objective, Seeds, SweepRecord, TrialRecord};
use crate::tables::{Field, Kind, Source, Values};
use latent_align_stages::{Error, Result};

/// A sweep.
pub struct SweepEntry {
    /// Its name, that of its folder.
    pub name: String,
    /// What it consists of, or what is wrong with its record.
    pub record: Result<SweepRecord, String>,
    /// Its trials, in order.
    pub trials: Vec<TrialEntry>,
}

/// A trial of a sweep.
pub struct TrialEntry {
    /// What the sweep says of it.
    pub trial: TrialRecord,
    /// Its run, if there is one.
    pub run: Option<RunEntry>,
}

impl TrialEntry {
    /// How it stands, in a word.
    pub fn state(&self) -> &'static str {
        match &self.run {
            _ if self.trial.dropped.is_some() => "dropped",
            None => "waiting",
            // What was run under its name is not what the sweep says now.
            Some(run) if self.is_outdated(run) => "outdated",
            Some(run) => run.state(),
        }
    }

    fn is_outdated(&self, run: &RunEntry) -> bool {
        (run.record.as_ref()).is_some_and(|record| record.identity != self.trial.identity)
    }

    /// The figure `name`, as `stage: figure`.
    pub fn figure(&self, name: &str, index: &Index) -> Option<f64> {
        let (stage, figure) = name.split_once(": ")?;
        let stages = self.run.as_ref()?.stages.iter();
        let mut cards = stages.filter_map(|s| index.card(&s.dir).ok());
        let card = cards.find(|card| card.stage.name() == stage)?;
        let mut figures = card.figures.iter();
        let found = figures.find(|(name, _)| index.symbols.text(*name) == figure);
        found.map(|f| f.1)
    }
}

impl SweepEntry {
    /// The figure `name` over the seeds of `variant`.
    pub fn seeds(&self, variant: &str, name: &str, index: &Index) -> Seeds {
        let trials = self.trials.iter().filter(|t| t.trial.variant == variant);
        let is_finished = |t: &&TrialEntry| t.state() == "finished";
        let figures = trials.map(|t| Some(t).filter(is_finished)?.figure(name, index));
        figures.collect()
    }

    /// Why `trial` is not among those that count, if it is not: a variant counts with all its seeds.
    pub fn left_out(
        &self,
        trial: &TrialEntry,
        objective: &Objective,
        constraints: &[Constraint],
        index: &Index,
    ) -> Option<String> {
        let state = trial.state();
        if state != "finished" {
            return Some(match state {
                "waiting" => "it was not run yet".into(),
                "dropped" => "successive halving stopped it".into(),
                "outdated" => "its run is of another configuration; run the sweep again".into(),
                _ => format!("its run is {state}"),
            });
        }
        let Some(value) = trial.figure(&objective.figure, index) else {
            return Some(format!("it has no figure `{}`", objective.figure));
        };
        if !value.is_finite() {
            return Some(format!("`{}` is {value}", objective.figure));
        }
        let variant = &trial.trial.variant;
        if let Some(some) = self.seeds(variant, &objective.figure, index).lacking() {
            return Some(format!(
                "`{variant}` has a number for {some} seeds, and counts with all"
            ));
        }
        let broken = constraints.iter().filter_map(|constraint| {
            let seeds = self.seeds(variant, &constraint.figure, index);
            (!constraint.is_met_by(seeds.mean())).then(|| told(constraint, &seeds))
        });
        let broken: Vec<String> = broken.collect();
        (!broken.is_empty()).then(|| broken.join("; "))
    }

    /// The trials that count, the best first: by the mean of their variant, and then by their own figure.
    pub fn ranked(
        &self,
        objective: &Objective,
        constraints: &[Constraint],
        index: &Index,
    ) -> Vec<&TrialEntry> {
        let figure = &objective.figure;
        let counts = |t: &TrialEntry| self.left_out(t, objective, constraints, index).is_none();
        let mut ranked: Vec<(f64, f64, &TrialEntry)> = (self.trials.iter())
            .filter(|t| counts(t))
            .filter_map(|t| {
                let mean = self.seeds(&t.trial.variant, figure, index).mean()?;
                Some((mean, t.figure(figure, index)?, t))
            })
            .collect();
        let order = |a, b| objective.direction.order(a, b);
        ranked.sort_by(|a, b| order(a.0, b.0).then(order(a.1, b.1)));
        ranked.into_iter().map(|t| t.2).collect()
    }
}

/// What is wrong with `seeds`, whose mean does not meet `constraint`.
fn told(constraint: &Constraint, seeds: &Seeds) -> String {
    let Constraint {
        figure,
        at_least,
        at_most,
    } = constraint;
    let Some(value) = seeds.mean() else {
        return match seeds.lacking() {
            Some(some) => format!("`{figure}` is a number in {some} seeds"),
            None => format!("it has no figure `{figure}`"),
        };
    };
    let over = if seeds.count > 1 {
        " on average over seeds"
    } else {
        ""
    };
    let bounds = [("at least", at_least), ("at most", at_most)];
    let bounds = bounds
        .iter()
        .filter_map(|(word, bound)| Some(format!("{word} {}", (*bound).as_ref()?)));
    let bounds: Vec<String> = bounds.collect();
    format!(
        "`{figure}` is {value}{over}, expected {}",
        bounds.join(" and ")
    )
}

/// Looks at the sweeps called `names` and at the runs of their trials.
pub fn find(catalogue: &mut Catalogue, names: &[String]) -> Vec<SweepEntry> {
    let mut sweeps = Vec::new();
    let exists = catalogue.folders("runs");
    for name in names {
        let folder = catalogue.store.root().join("sweeps").join(name);
        let record = SweepRecord::read(&folder).map_err(|e| e.to_string().replace('\n', " "));
        let trials = record.as_ref().map_or(vec![], |r| r.trials.clone());
        let runs: Vec<String> = trials.iter().map(|t| t.run.clone()).collect();
        let runs: Vec<String> = runs
            .into_iter()
            .filter(|r| exists.binary_search(r).is_ok())
            .collect();
        let mut runs = catalogue.runs(&runs).into_iter().peekable();
        let trials = trials.into_iter().map(|trial| TrialEntry {
            run: runs.next_if(|run| run.name == trial.run),
            trial,
        });
        let trials = trials.collect();
        sweeps.push(SweepEntry {
            name: name.clone(),
            record,
            trials,
        });
    }
    sweeps
}

impl Catalogue {
    /// Every sweep, by name.
    pub fn sweeps(&mut self) -> Vec<SweepEntry> {
        let names = self.folders("sweeps");
        find(self, &names)
    }

    /// The sweep called `name`, or in that folder.
    ///
    /// # Errors
    /// There is none, or its record is damaged.
    pub fn sweep(&mut self, name: &str) -> Result<(SweepEntry, SweepRecord)> {
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
        match &entry.record {
            Ok(record) => {
                let record = record.clone();
                Ok((entry, record))
            }
            Err(why) => Err(Error::input(why.clone())),
        }
    }
}

/// The table of `entries`.
pub fn sweeps<'a>(catalogue: &Catalogue, entries: &[SweepEntry]) -> Source<'a> {
    let records = || entries.iter().map(|e| e.record.as_ref().ok());
    let text = |name: &str, of: &dyn Fn(&SweepRecord) -> String| {
        Field::text(name, records().map(|r| r.map_or(String::new(), of)))
    };
    let count = |name: &str, states: &[&str]| {
        let of = |e: &SweepEntry| {
            e.trials
                .iter()
                .filter(|t| states.contains(&t.state()))
                .count()
        };
        Field::new(
            name,
            Values::Int(entries.iter().map(|e| Some(of(e) as i64)).collect()),
        )
    };
    let best: Vec<Option<(f64, String)>> =
        entries.iter().map(|e| best(e, &catalogue.index)).collect();
    let objective = |r: &SweepRecord| r.objective.clone();
    let direction = |r: &SweepRecord| {
        let word = |o: Objective| match o.direction {
            Direction::Minimise => "minimise".to_owned(),
            Direction::Maximise => "maximise".to_owned(),
        };
        objective(r).map_or(String::new(), word)
    };
    let trials = entries
        .iter()
        .map(|e| Some(e.trials.len() as i64))
        .collect();
    let problems = entries.iter().map(|e| {
        e.record
            .as_ref()
            .err()
            .map_or(String::new(), |why| format!("DAMAGED: {why}"))
    });
    let fields = vec![
        Field::text("name", entries.iter().map(|e| e.name.as_str())),
        Field::new("trials", Values::Int(trials)),
        count("finished", &["finished"]),
        count("running", &["running"]),
        count("failed", &["failed"]),
        count("dropped", &["dropped"]),
        count(
            "unfinished",
            &[
                "waiting",
                "stopped",
                "interrupted",
                "outdated",
                "damaged",
                "unreadable",
                "unrecorded",
            ],
        ),
        text("axes", &|r| r.axes.join(", ")),
        text("objective", &|r| {
            objective(r).map_or(String::new(), |o| o.figure)
        }),
        text("direction", &direction),
        Field::new(
            "best",
            Values::Float(best.iter().map(|b| b.as_ref().map(|b| b.0)).collect()),
        )
        .of(Kind::Figure),
        Field::text(
            "best run",
            best.iter().map(|b| b.as_ref().map_or("", |b| b.1.as_str())),
        ),
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
    if entries.iter().any(|e| e.record.is_err()) {
        shown.push("problem");
    }
    Source::new(entries.len(), fields).showing(&shown)
}

/// The best variant's mean of the objective, and the run of its best trial.
fn best(entry: &SweepEntry, index: &Index) -> Option<(f64, String)> {
    let record = entry.record.as_ref().ok()?;
    let objective = record.objective.as_ref()?;
    let best = *entry
        .ranked(objective, &record.constraints, index)
        .first()?;
    let mean = entry
        .seeds(&best.trial.variant, &objective.figure, index)
        .mean()?;
    Some((mean, best.trial.run.clone()))
}
