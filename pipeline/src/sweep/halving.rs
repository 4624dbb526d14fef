//! Successive halving: which variants continue from a rung.

use super::file::Budget;
use super::trial::Trial;
use crate::config::{Assignment, Experiment, flatten};
use crate::store::Stage;
use latent_align_stages::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The rungs of a sweep.
#[derive(Debug)]
pub struct Halving {
    /// The configuration.
    pub budget: Budget,
    /// The trials of all variants on each rung.
    pub rungs: Vec<Vec<Trial>>,
}

/// A variant that was dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dropped {
    /// The rung at which it was dropped.
    pub rung: u64,
    /// Its metric there; none if it is not finite for every seed.
    pub value: Option<f64>,
}

/// The assignments that shorten `experiment` to `rung`: the budget's key, and no stage after that
/// of the metric.
///
/// # Errors
/// [`Error::Input`] if the experiment has no such key, or the rung is not smaller than its value.
pub fn shortened(budget: &Budget, rung: u64, experiment: &Experiment) -> Result<Vec<Assignment>> {
    let wrong = |why: String| Error::input(format!("budget: {why}"));
    let tree = serde_json::to_value(experiment)
        .map_err(|e| wrong(format!("the experiment cannot be written: {e}")))?;
    let stage = stage_of(&budget.metric);
    let key = match &budget.key {
        Some(key) => key.clone(),
        None => default_key(stage, &tree),
    };
    let leaves = flatten(&tree);
    let own = leaves.iter().find(|leaf| leaf.0 == key);
    let own = own.and_then(|leaf| leaf.1.as_u64()).ok_or_else(|| {
        wrong(format!(
            "key: the experiment has no whole number `{key}`; name the key that limits its training"
        ))
    })?;
    if rung >= own {
        return Err(wrong(format!(
            "rungs: found {rung}, expected less than the experiment's {key} of {own}"
        )));
    }
    let source = || format!("budget: rung {rung}");
    let later = Stage::ALL.into_iter().filter(|s| *s > stage);
    let removed = later.filter(|s| !tree[s.section()].is_null());
    let removed = removed.map(|s| Assignment::new(s.section(), Value::Null, source()));
    Ok(
        std::iter::once(Assignment::new(&key, rung.into(), source()))
            .chain(removed)
            .collect(),
    )
}

fn stage_of(metric: &str) -> Stage {
    let name = metric.split_once(": ").map_or("", |m| m.0);
    let found = Stage::ALL.into_iter().find(|stage| stage.name() == name);
    found.unwrap_or(Stage::ALL[Stage::ALL.len() - 1])
}

/// The steps of the last stage that trains, up to `stage`.
fn default_key(stage: Stage, tree: &Value) -> String {
    let trains = |s: &Stage| *s <= stage && tree[s.section()]["steps"].is_u64();
    let last = Stage::ALL.into_iter().rfind(trains);
    format!("{}.steps", last.unwrap_or(stage).section())
}

/// The variants of `measured` that continue: the best, as many as the budget keeps. A variant
/// without a value continues only together with a better one.
pub fn survivors<'a>(budget: &Budget, measured: &[(&'a str, Option<f64>)]) -> Vec<&'a str> {
    let count = (budget.keep * measured.len() as f64).ceil().max(1.0) as usize;
    let value = |measured: &(&str, Option<f64>)| measured.1.unwrap_or(f64::NAN);
    let mut ranked: Vec<&(&str, Option<f64>)> = measured.iter().collect();
    ranked.sort_by(|a, b| budget.direction.order(value(a), value(b)));
    let best = ranked.into_iter().take(count);
    best.filter(|m| !value(m).is_nan()).map(|m| m.0).collect()
}

#[cfg(test)]
mod tests {
    use super::super::file::Direction;
    use super::*;

    fn budget(keep: f64, direction: Direction) -> Budget {
        Budget {
            metric: "train-autoencoder: loss".into(),
            direction,
            key: None,
            rungs: vec![10],
            keep,
        }
    }

    #[test]
    fn the_best_go_on_and_failures_do_not() {
        let measured = [
            ("a", Some(3.0)),
            ("b", None),
            ("c", Some(1.0)),
            ("d", Some(f64::NAN)),
        ];
        let kept = |keep, direction| survivors(&budget(keep, direction), &measured);
        assert_eq!(kept(0.5, Direction::Minimise), ["c", "a"]);
        assert_eq!(kept(0.25, Direction::Maximise), ["a"]);
        assert_eq!(kept(0.9, Direction::Minimise), ["c", "a"]);
        assert_eq!(kept(0.01, Direction::Minimise), ["c"]);
    }

    #[test]
    fn a_rung_is_shorter_and_ends_with_the_stage_of_its_metric() {
        let experiment: Experiment = serde_yaml::from_str(
            "name: a\npretrain_flow: {features: {file: a.h5}, steps: 50}\n\
             train_autoencoder: {data: {file: b.h5}, latent: {width: 2}, steps: 40}\nestimate_nll: {}\n",
        )
        .unwrap();
        let set = shortened(&budget(0.5, Direction::Minimise), 10, &experiment).unwrap();
        let keys: Vec<&str> = set.iter().map(Assignment::key).collect();
        assert_eq!(keys, ["train_autoencoder.steps", "estimate_nll"]);
        let message = shortened(&budget(0.5, Direction::Minimise), 40, &experiment);
        let message = message.unwrap_err().to_string();
        assert!(
            message.contains("less than the experiment's train_autoencoder.steps of 40"),
            "{message}"
        );
    }
}
