//! `run --quick`: an experiment with every size divided by one factor.
//!
//! A quick run shows that data, configuration and program work together, and what a report looks like. Its figures
//! are not results, and it is marked everywhere.

use super::Experiment;
use latent_align_stages::{Error, Result};
use serde_json::Value;

/// Sizes are divided by this.
pub const FACTOR: u64 = 20;
/// What marks quick runs in tables and texts.
pub const MARK: &str = "quick run: not results";
/// The end of the name of a quick run, which never takes the folder of a full one.
const END: &str = ".quick";
/// The longest name of an experiment.
const LONGEST: usize = 64;

/// The sizes, by the last part of their keys, each with the value below which it is not reduced.
const SIZES: [(&str, u64); 17] = [
    ("at_most", 200),
    ("box_points", 16),
    ("calls", 20),
    ("calls_a_round", 5),
    ("check_points", 4),
    ("compared", 100),
    ("count", 64),
    ("draws", 192),
    ("evaluate_every", 1),
    ("evaluation_points", 256),
    ("gradient_points", 4),
    ("grid_cells", 10),
    ("nll_points", 16),
    ("points", 16),
    ("rows", 16),
    ("samples", 64),
    ("steps", 20),
];
/// Numbers of steps that must stay below all steps.
const WARM_UPS: [&str; 2] = ["warm_up_steps", "warmup_steps"];
/// Lists of sizes; the key is a number elsewhere, which is not a size.
const LISTS: [(&str, u64); 1] = [("levels", 2)];

/// Whether `name` is that of a quick run.
pub fn is_quick(name: &str) -> bool {
    name.ends_with(END)
}

/// `experiment` with every size divided by [`FACTOR`], and a name that says so.
///
/// # Errors
/// [`Error::Input`] if it cannot be represented as a tree.
pub fn quick(experiment: &Experiment) -> Result<Experiment> {
    let wrong = |e: &dyn std::fmt::Display| {
        Error::input(format!("--quick: the configuration cannot be reduced: {e}"))
    };
    let mut tree = serde_json::to_value(experiment).map_err(|e| wrong(&e))?;
    if let Value::Object(sections) = &mut tree {
        let sections = sections.values_mut().filter(|value| value.is_object());
        sections.for_each(reduce);
    }
    let mut quick: Experiment = serde_json::from_value(tree).map_err(|e| wrong(&e))?;
    if !quick.name.ends_with(END) {
        let kept = quick.name.len().min(LONGEST - END.len());
        quick.name = format!("{}{END}", quick.name.get(..kept).unwrap_or_default());
    }
    Ok(quick)
}

fn reduce(tree: &mut Value) {
    let Value::Object(map) = tree else { return };
    // sequences are not compared in this way, and only the default says so
    let of_sequences = !map.get("features").unwrap_or(&Value::Null)["tokeniser"].is_null();
    for (key, value) in map {
        let least = |sizes: &[(&str, u64)]| sizes.iter().find(|size| size.0 == key).map(|s| s.1);
        match value {
            Value::Object(_) => reduce(value),
            Value::Array(items) => {
                if let Some(least) = least(&LISTS) {
                    items.iter_mut().for_each(|item| divide(item, least));
                    items.dedup();
                }
            }
            Value::Number(_) if WARM_UPS.contains(&key.as_str()) => {
                if let Some(steps) = value.as_u64() {
                    *value = (steps / FACTOR).saturating_sub(1).into();
                }
            }
            _ if of_sequences && key == "compared" => {}
            _ => {
                if let Some(least) = least(&SIZES) {
                    divide(value, least);
                }
            }
        }
    }
}

/// Divides a number above `least`, down to `least`.
fn divide(value: &mut Value, least: u64) {
    if let Some(size) = value.as_u64().filter(|size| *size > least) {
        *value = (size / FACTOR).max(least).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, experiment_schema, load};
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Integers that are not sizes of a run: widths of networks, batches, memory, and the like.
    const KEPT: &str = "batch best bins blocks calls_per_batch candidates channels components couplings deep_layers depth \
        early_stopping embedding every every_steps exact features fill fitted_to frequencies generations head_width \
        hidden inducing keep latent layers length levels longest matrices memory_mib newest numbers partners patches \
        population probes productions projections quantisation retries seed shallow_blocks shallow_layers shape split \
        student_steps times token tokens tournament width widths";

    /// Fails if a new key, such as a number of evaluations, would stay as large in a quick run.
    #[test]
    fn every_integer_of_an_experiment_is_a_size_or_kept_on_purpose() {
        let schema: Value = serde_json::from_str(&experiment_schema().unwrap()).unwrap();
        let mut found = BTreeSet::new();
        integers(&schema, &mut found);
        assert!(
            found.contains("steps") && found.contains("width"),
            "{found:?}"
        );
        let known: Vec<&str> = (SIZES.iter().chain(&LISTS).map(|size| size.0))
            .chain(WARM_UPS)
            .chain(KEPT.split_whitespace())
            .collect();
        let unknown: Vec<&String> = found
            .iter()
            .filter(|k| !known.contains(&k.as_str()))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    fn integers(schema: &Value, found: &mut BTreeSet<String>) {
        let of_type = |value: &Value| {
            let text = value["type"].to_string() + &value["items"]["type"].to_string();
            text.contains("integer")
        };
        match schema {
            Value::Object(map) => {
                if let Some(Value::Object(keys)) = map.get("properties") {
                    let named = keys.iter().filter(|(_, value)| of_type(value));
                    found.extend(named.map(|(key, _)| key.clone()));
                }
                map.values().for_each(|value| integers(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| integers(value, found)),
            _ => {}
        }
    }

    /// Fails if a reduced value is out of its range.
    #[test]
    fn every_shipped_experiment_has_a_valid_quick_form() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
        let (mut folders, mut checked) = (vec![root], 0);
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir().unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() && !path.ends_with("sweeps") {
                    folders.push(path.clone());
                }
                if path.extension().is_some_and(|ext| ext == "yaml") && !folder.ends_with("sweeps")
                {
                    let overrides = Overrides {
                        quick: true,
                        ..Overrides::default()
                    };
                    let loaded = load(&path, &overrides).unwrap();
                    let name = &loaded.experiment.name;
                    assert!(name.ends_with(END) && loaded.quick, "{name}");
                    checked += 1;
                }
            }
        }
        assert!(checked > 20, "{checked}");
    }

    #[test]
    fn sizes_shrink_to_their_least_and_other_numbers_stay() {
        let text = "name: a\npretrain_flow: {features: {file: a.h5}, steps: 4000, nll_points: 100, samples: 0, \
                    normalisation: {levels: 256}, optimiser: {warmup_steps: 200}}\n\
                    estimate_nll: {levels: [10, 30, 1000], points: 8}\n";
        let full = crate::config::yaml::parse(text, "a.yaml").unwrap();
        let tree = serde_json::to_value(quick(&full).unwrap()).unwrap();
        let flow = &tree["pretrain_flow"];
        assert_eq!(
            (&flow["steps"], &flow["nll_points"]),
            (&200.into(), &16.into())
        );
        assert_eq!((&flow["samples"], &flow["batch"]), (&0.into(), &256.into()));
        assert_eq!(flow["normalisation"]["levels"], 256);
        assert_eq!(flow["optimiser"]["warmup_steps"], 9);
        assert_eq!(tree["estimate_nll"]["levels"], serde_json::json!([2, 50]));
        assert_eq!(tree["estimate_nll"]["points"], 8);
        assert_eq!(tree["name"], "a.quick");
    }
}
