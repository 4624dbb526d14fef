//! Overrides of an experiment in the experiments that it reads.
//!
//! An override says something about the comparison, so that it also applies to an experiment that is read, wherever
//! that one had the same value: steps shrink in both. Where it had another value, it differs on purpose, as a
//! baseline without a regulariser does, and keeps it.

use super::overrides::{Assignment, replace};
use super::{Experiment, Loaded, Overrides, load, read_overridden};
use latent_align_stages::{Error, Result};
use serde_json::Value;
use std::path::Path;

/// Keys of which every experiment has its own.
const OWN: [&str; 5] = ["name", "base", "seed", "device", "devices"];
/// A baseline is read for the sake of another regulariser, even where both have the same one.
const REGULARISER: &str = "train_autoencoder.regulariser";

/// Loads the experiment in `file`, which `asked` reads, with those overrides of `asked` that apply to it.
///
/// # Errors
/// As [`super::load`].
pub fn load_read(file: &Path, asked: &Loaded) -> Result<Loaded> {
    let mut overrides = Overrides {
        quick: asked.quick,
        ..Overrides::default()
    };
    let set = &asked.overrides.set;
    // a pipe cannot be read twice
    if !set.is_empty() && asked.file.is_file() {
        let untouched = Overrides::default();
        let before = tree(&read_overridden(&asked.file, &untouched)?)?;
        let after = tree(&read_overridden(&asked.file, &asked.overrides)?)?;
        let mut there = tree(&read_overridden(file, &untouched)?)?;
        overrides.set = shared(&before, &after, &mut there, set);
    }
    load(file, &overrides)
}

fn tree(experiment: &Experiment) -> Result<Value> {
    serde_json::to_value(experiment)
        .map_err(|e| Error::input(format!("the configuration cannot be overridden: {e}")))
}

/// Those of the assignments `set` that also apply to `there`: to keys of which it has the value of `before`. They
/// have the values of `after`, whose paths are absolute.
fn shared(before: &Value, after: &Value, there: &mut Value, set: &[Assignment]) -> Vec<Assignment> {
    let mut here = before.clone();
    let mut shared = Vec::new();
    for assignment in set {
        let key = assignment.key();
        if !OWN.contains(&key) && !key.starts_with(REGULARISER) && is_same(&here, there, key) {
            let value = after.pointer(&format!("/{}", key.replace('.', "/")));
            let value = value.cloned().unwrap_or(Value::Null);
            let source = assignment.source().to_owned();
            let same = Assignment::new(key, value, source);
            if replace(there, &same).is_ok() {
                shared.push(same);
            }
        }
        // what `asked` refuses was refused before
        let _ = replace(&mut here, assignment);
    }
    shared
}

/// Whether both trees have the same value at `key`, or neither has one, in sections of the same kinds.
fn is_same(here: &Value, there: &Value, key: &str) -> bool {
    let (mut here, mut there) = (here, there);
    for part in key.split('.') {
        let is_section = |value: &Value| value.is_object() || value.is_array();
        if !(is_section(here) && is_section(there)) || here.get("kind") != there.get("kind") {
            return false;
        }
        here = at(here, part);
        there = at(there, part);
    }
    here == there
}

fn at<'a>(value: &'a Value, part: &str) -> &'a Value {
    let found = match value {
        Value::Array(items) => part.parse().ok().and_then(|i: usize| items.get(i)),
        other => other.get(part),
    };
    found.unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = "name: asked\npretrain_flow: {features: {file: a.h5}, steps: 9}\n\
        train_autoencoder: {data: {file: b.h5}, latent: {width: 2}, steps: 50, \
        regulariser: {kind: alignment, weight: 3.0}}\nestimate_nll: {unaligned: sub/read.yaml}\n";
    const READ: &str = "name: read\npretrain_flow: {features: {file: ../a.h5}, steps: 9}\n\
        train_autoencoder: {data: {file: ../b.h5}, latent: {width: 2}, steps: 50, batch: 7, \
        regulariser: {kind: none}}\n";

    /// The keys of `set` that apply to the experiment that is read, and that experiment.
    fn read(set: &[&str]) -> (Vec<String>, Experiment) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let file = dir.path().join("asked.yaml");
        let other = dir.path().join("sub/read.yaml");
        std::fs::write(&file, ASKED).unwrap();
        std::fs::write(&other, READ).unwrap();
        let set = set.iter().map(|s| Assignment::parse(s).unwrap()).collect();
        let overrides = Overrides {
            set,
            ..Overrides::default()
        };
        let loaded = load_read(&other, &load(&file, &overrides).unwrap()).unwrap();
        let keys = loaded.overrides.set.iter().map(|a| a.key().to_owned());
        (keys.collect(), loaded.experiment)
    }

    #[test]
    fn an_override_applies_where_both_had_the_same_value() {
        let set = [
            "pretrain_flow.steps=5",
            "train_autoencoder.steps=6",
            "name=x",
            "seed=3",
        ];
        let (keys, found) = read(&set);
        assert_eq!(keys, ["pretrain_flow.steps", "train_autoencoder.steps"]);
        assert_eq!(found.pretrain_flow.unwrap().steps, 5);
        assert_eq!((found.name.as_str(), found.seed), ("read", 0));
    }

    /// Fails if a baseline without a regulariser gets one.
    #[test]
    fn what_differs_on_purpose_is_kept() {
        let weight = "train_autoencoder.regulariser.weight=0.1";
        let warm_up = "train_autoencoder.regulariser.warm_up_steps=3";
        let batch = "train_autoencoder.batch=9";
        let kind = "train_autoencoder.regulariser.kind=distribution_matching";
        let (keys, found) = read(&[weight, batch]);
        assert!(keys.is_empty(), "{keys:?}");
        let autoencoder = serde_json::to_value(found.train_autoencoder.unwrap()).unwrap();
        assert_eq!(autoencoder["regulariser"]["kind"], "none");
        assert_eq!(autoencoder["batch"], 7);
        assert!(read(&[kind, weight, warm_up]).0.is_empty());
        assert!(read(&["estimate_nll.points=9"]).0.is_empty());
        let [mut there, here] = [READ, READ].map(|text| {
            serde_json::to_value(
                crate::config::yaml::parse::<Experiment>(text, "read.yaml").unwrap(),
            )
            .unwrap()
        });
        let set =
            Assignment::parse("train_autoencoder.regulariser={kind: kl, weight: 1.0}").unwrap();
        assert!(shared(&here, &here, &mut there, &[set]).is_empty());
    }

    /// Fails if the path is resolved beside the experiment that is read.
    #[test]
    fn a_path_is_relative_to_the_experiment_that_was_asked_for() {
        let (_, found) = read(&["pretrain_flow.features.file=c.h5"]);
        let files = found.pretrain_flow.unwrap().features.file;
        let file = files.first();
        assert!(
            file.ends_with("c.h5") && !file.parent().unwrap().ends_with("sub"),
            "{file:?}"
        );
    }

    #[test]
    fn a_new_kind_and_its_keys_apply_together() {
        let (keys, found) = read(&[
            "train_autoencoder.architecture.kind=convolutional",
            "train_autoencoder.architecture.channels=[8]",
        ]);
        assert_eq!(keys.len(), 2);
        let stage = serde_json::to_value(found.train_autoencoder.unwrap()).unwrap();
        let architecture = &stage["architecture"];
        assert_eq!(architecture["kind"], "convolutional");
        assert_eq!(architecture["channels"], serde_json::json!([8]));
    }
}
