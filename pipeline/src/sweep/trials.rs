//! From a sweep's file to its trials, each a validated experiment.

use super::file::{Check, Constraint, Objective, Slurm, SweepFile};
use super::halving::{Halving, shortened};
use super::problems;
use super::trial::{Trial, run_name, rung_name};
use super::variants::{self, Point};
use crate::config::{self, Assignment, Loaded, Overrides, all_or_nothing};
use latent_align_stages::{Error, Result};
use std::path::{Path, PathBuf};

/// A sweep ready to run.
#[derive(Debug)]
pub struct Sweep {
    /// The name of its folder.
    pub name: String,
    /// The file it was read from.
    pub file: PathBuf,
    /// The trials, grouped by variant.
    pub trials: Vec<Trial>,
    /// The keys with random values.
    pub drawn: Vec<String>,
    /// The figures to tabulate, as `stage: figure`; empty for the key figures of the stages.
    pub columns: Vec<String>,
    /// The objective.
    pub objective: Option<Objective>,
    /// The bounds on the figures of a variant.
    pub constraints: Vec<Constraint>,
    /// Successive halving, if configured.
    pub halving: Option<Halving>,
    /// How trials are submitted to Slurm.
    pub slurm: Slurm,
    /// The claims to check.
    pub checks: Vec<Check>,
}

/// Reads the sweep in `file` and validates every trial. `overrides` apply to all of them, last.
///
/// # Errors
/// [`Error::Input`] with line and column for a syntax error, else with all problems at once.
pub fn load(file: &Path, overrides: &Overrides) -> Result<Sweep> {
    let written: SweepFile = config::read(file)?;
    all_or_nothing(file, problems::of_axes(&written))?;
    if let Some(taken) = overrides.set.iter().find(|a| is_taken(a.key())) {
        return Err(Error::input(taken_message(taken)));
    }
    let points = variants::all(&written, file);
    all_or_nothing(file, problems::of_variants(&written, &points))?;
    let mut trials = Vec::new();
    let mut rungs = vec![Vec::new(); written.budget.iter().map(|b| b.rungs.len()).sum()];
    let mut wrong = Vec::new();
    for point in &points {
        match trials_of(point, &written, file, overrides) {
            Ok((whole, shortened)) => {
                trials.extend(whole);
                for (rung, trials) in rungs.iter_mut().zip(shortened) {
                    rung.extend(trials);
                }
            }
            Err(error) => wrong.push(format!("variant `{}`: {error}", point.name)),
        }
    }
    all_or_nothing(file, wrong)?;
    let random = written.random.into_iter().flat_map(|r| r.axes.0);
    // The metric that stops variants also ranks those that are left, unless told otherwise.
    let by_budget = written.budget.as_ref().map(|budget| Objective {
        figure: budget.metric.clone(),
        direction: budget.direction,
    });
    Ok(Sweep {
        name: written.name,
        file: file.to_owned(),
        trials,
        drawn: random.map(|axis| axis.0).collect(),
        columns: written.columns,
        objective: written.objective.or(by_budget),
        constraints: written.constraints,
        halving: written.budget.map(|budget| Halving { budget, rungs }),
        slurm: written.slurm,
        checks: written.checks,
    })
}

/// The trials of a variant: in full, and on each rung.
fn trials_of(
    point: &Point,
    written: &SweepFile,
    file: &Path,
    overrides: &Overrides,
) -> Result<(Vec<Trial>, Vec<Vec<Trial>>)> {
    let loaded = experiment(point, file, overrides, Vec::new())?;
    let mut rungs = Vec::new();
    if let Some(budget) = &written.budget {
        for rung in &budget.rungs {
            let set = shortened(budget, *rung, &loaded.experiment)?;
            let loaded = experiment(point, file, overrides, set)?;
            rungs.push(with_seeds(point, written, &loaded, |run| {
                rung_name(&run, *rung)
            }));
        }
    }
    Ok((with_seeds(point, written, &loaded, |run| run), rungs))
}

/// The experiment of a variant, with its name and seed; `last` is applied last.
fn experiment(
    point: &Point,
    file: &Path,
    overrides: &Overrides,
    last: Vec<Assignment>,
) -> Result<Loaded> {
    let mut set = point.set.clone();
    if let Some(taken) = set.iter().find(|a| is_taken(a.key())) {
        return Err(Error::input(taken_message(taken)));
    }
    set.extend(overrides.set.iter().cloned());
    set.extend(last);
    let overrides = Overrides {
        set,
        device: overrides.device.clone(),
        quick: overrides.quick,
    };
    let base = config::beside(file, &point.base);
    config::refuse_pipe(&base)?;
    config::load(&base, &overrides)
}

fn with_seeds(
    point: &Point,
    written: &SweepFile,
    loaded: &Loaded,
    named: impl Fn(String) -> String,
) -> Vec<Trial> {
    let trial = |seed: &u64| {
        let mut loaded = loaded.clone();
        loaded.experiment.name = named(run_name(&written.name, &point.name, *seed));
        loaded.experiment.seed = *seed;
        // a trial's process reads its resolved file, without overrides
        loaded.overrides = Overrides::default();
        Trial {
            variant: point.name.clone(),
            settings: point.settings.clone(),
            loaded,
        }
    };
    written.seeds.iter().map(trial).collect()
}

/// Whether each trial gets its own value of the key.
fn is_taken(key: &str) -> bool {
    matches!(key, "name" | "seed")
}

fn taken_message(assignment: &Assignment) -> String {
    let (source, key) = (assignment.source(), assignment.key());
    format!(
        "{source}: `{key}` cannot be set in a sweep, which gives each trial its own; {}",
        match key {
            "seed" => "list seeds under `seeds`",
            _ => "name the variant",
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sweeps_of_this_repository_are_right() {
        let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap());
        let mut count = 0;
        for entry in root.join("../configs/sweeps").read_dir().unwrap() {
            let sweep = load(&entry.unwrap().path(), &Overrides::default()).unwrap();
            assert!(!sweep.trials.is_empty());
            count += 1;
        }
        assert!(count > 0);
    }
}
