//! From a sweep's file to its trials, each a checked experiment.

use super::checks;
use super::file::{Check, Constraint, Objective, Settings, SweepFile, Variant};
use crate::config::{self, Assignment, Loaded, NAME, Overrides, all_or_nothing, is_name};
use latent_align_stages::problems::Problems;
use latent_align_stages::{Error, Result};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A sweep ready to run.
#[derive(Debug)]
pub struct Sweep {
    /// Names its folder.
    pub name: String,
    /// The file it was read from.
    pub file: PathBuf,
    /// Variant by variant, the seeds of each together.
    pub trials: Vec<Trial>,
    /// The figures to tabulate, as `stage: figure`; none for those of the last stage.
    pub columns: Vec<String>,
    /// What is sought among the trials.
    pub objective: Option<Objective>,
    /// What the figures of a trial must be for it to count.
    pub constraints: Vec<Constraint>,
    /// What the figures must be.
    pub checks: Vec<Check>,
}

/// One variant with one seed.
#[derive(Debug)]
pub struct Trial {
    /// The variant's name.
    pub variant: String,
    /// The keys it sets, and their values.
    pub settings: Map<String, Value>,
    /// The experiment, under the trial's name and seed.
    pub loaded: Loaded,
}

impl Trial {
    /// The name of its run.
    pub fn name(&self) -> &str {
        &self.loaded.experiment.name
    }
}

/// Reads the sweep in `file` and checks every trial of it. `overrides` apply to all of them, last.
///
/// # Errors
/// [`Error::Input`] with line and column where the file does not say what a sweep is, else with all
/// that is wrong at once.
pub fn load(file: &Path, overrides: &Overrides) -> Result<Sweep> {
    let written: SweepFile = config::read(file)?;
    let problems = problems(&written);
    all_or_nothing(file, problems.messages().to_vec())?;
    if let Some(taken) = overrides.set.iter().find(|a| is_taken(a.key())) {
        return Err(Error::input(taken_message(taken)));
    }
    let mut trials = Vec::new();
    let mut wrong = Vec::new();
    for variant in &written.list {
        match experiment(file, &written, variant, overrides) {
            Ok(loaded) => trials.extend(written.seeds.iter().map(|seed| {
                let mut loaded = loaded.clone();
                loaded.experiment.name = trial_name(&written.name, &variant.name, *seed);
                loaded.experiment.seed = *seed;
                Trial {
                    variant: variant.name.clone(),
                    settings: variant.set.values(),
                    loaded,
                }
            })),
            Err(error) => wrong.push(format!("variant `{}`: {error}", variant.name)),
        }
    }
    all_or_nothing(file, wrong)?;
    Ok(Sweep {
        name: written.name,
        file: file.to_owned(),
        trials,
        columns: written.columns,
        objective: written.objective,
        constraints: written.constraints,
        checks: written.checks,
    })
}

fn problems(written: &SweepFile) -> Problems {
    let mut problems = Problems::new();
    let p = &mut problems;
    p.require(is_name(&written.name), "name", &written.name, NAME);
    p.require(
        !written.list.is_empty(),
        "list",
        "nothing",
        "at least one variant, such as `- {name: base}`",
    );
    p.require(
        !written.seeds.is_empty(),
        "seeds",
        "nothing",
        "at least one seed",
    );
    let mut seeds = BTreeSet::new();
    for seed in &written.seeds {
        p.require(
            seeds.insert(seed),
            "seeds",
            format!("{seed} twice"),
            "each seed once",
        );
    }
    checks::check(written, p);
    let longest = written.seeds.iter().max().copied().unwrap_or(0);
    let mut names = BTreeSet::new();
    for (number, variant) in written.list.iter().enumerate() {
        let key = format!("list.{number}.name");
        let name = trial_name(&written.name, &variant.name, longest);
        p.require(is_name(&variant.name), &key, &variant.name, NAME);
        p.require(
            names.insert(&variant.name),
            &key,
            format!("{} again", variant.name),
            "a name that no other variant has",
        );
        p.require(
            name.len() <= 64,
            &key,
            format!("the run name {name}"),
            "at most 64 characters; shorten the sweep's name or the variant's",
        );
    }
    problems
}

fn trial_name(sweep: &str, variant: &str, seed: u64) -> String {
    format!("{sweep}.{variant}.seed{seed}")
}

/// The experiment of `variant`, under the name and with the seed of its base.
fn experiment(
    file: &Path,
    written: &SweepFile,
    variant: &Variant,
    overrides: &Overrides,
) -> Result<Loaded> {
    let base = variant.base.as_ref().unwrap_or(&written.base);
    let mut set = assignments(&variant.set, file);
    if let Some(taken) = set.iter().find(|a| is_taken(a.key())) {
        return Err(Error::input(taken_message(taken)));
    }
    set.extend(overrides.set.iter().cloned());
    let overrides = Overrides {
        set,
        device: overrides.device.clone(),
    };
    config::load(&config::beside(file, base), &overrides)
}

fn assignments(settings: &Settings, file: &Path) -> Vec<Assignment> {
    let settings = settings.0.iter();
    settings
        .map(|(key, value)| {
            let (line, column) = (value.referenced.line(), value.referenced.column());
            let place = format!("{}:{line}:{column}", file.display());
            Assignment::new(key, value.value.clone(), place)
        })
        .collect()
}

/// True for keys that every trial has a value of its own for.
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
        let folder =
            PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../configs/sweeps");
        let mut count = 0;
        for entry in folder.read_dir().unwrap() {
            let sweep = load(&entry.unwrap().path(), &Overrides::default()).unwrap();
            assert!(!sweep.trials.is_empty());
            count += 1;
        }
        assert!(count > 0);
    }
}
