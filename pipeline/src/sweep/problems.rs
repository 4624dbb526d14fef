//! Validation of a sweep's file beyond its syntax.

use super::choosing::refuse_to_choose_by;
use super::file::{Budget, Check, Distribution, SweepFile};
use super::trial::run_name;
use super::variants::Point;
use crate::config::{NAME, is_name};
use crate::store::Stage;
use latent_align_stages::problems::Problems;
use std::collections::{BTreeMap, BTreeSet};

/// The longest name of a run.
const LONGEST: usize = 64;
/// The largest number of variants of a sweep: more indicate a mistake in an axis.
const MOST: u64 = 100_000;

/// Problems that prevent enumerating the variants.
pub fn of_axes(written: &SweepFile) -> Vec<String> {
    let mut problems = Problems::new();
    let p = &mut problems;
    p.require(is_name(&written.name), "name", &written.name, NAME);
    let varies =
        !(written.list.is_empty() && written.grid.0.is_empty() && written.random.is_none());
    p.require(
        varies,
        "list",
        "nothing that varies",
        "at least one variant, such as `- {name: base}`, or a `grid` or `random` axis",
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
    names(written, p);
    axes(written, p);
    if let Some(budget) = &written.budget {
        p.section("budget", |p| of_budget(budget, p));
    }
    of_bounds(written, p);
    problems.messages().to_vec()
}

fn names(written: &SweepFile, p: &mut Problems) {
    let mut names = BTreeSet::new();
    for (number, variant) in written.list.iter().enumerate() {
        let key = format!("list.{number}.name");
        p.require(is_name(&variant.name), &key, &variant.name, NAME);
        p.require(
            names.insert(&variant.name),
            &key,
            format!("{} again", variant.name),
            "a name that no other variant has",
        );
    }
}

fn axes(written: &SweepFile, p: &mut Problems) {
    let mut axes: BTreeMap<&str, &str> = BTreeMap::new();
    let mut count = written.list.len().max(1) as u64;
    for (key, values) in &written.grid.0 {
        let place = format!("grid.{key}");
        p.require(!values.is_empty(), &place, "[]", "at least one value");
        count = count.saturating_mul(values.len() as u64);
        for (i, value) in values.iter().enumerate() {
            let again = values[..i].iter().any(|other| other.value == value.value);
            p.require(
                !again,
                &place,
                format!("{} twice", value.value),
                "each value once",
            );
        }
        let other = axes.insert(key, "grid");
        p.require(other.is_none(), &place, "the key twice", "each key once");
    }
    if let Some(random) = &written.random {
        count = count.saturating_mul(random.count);
        p.require(random.count > 0, "random.count", 0, "at least one draw");
        p.require(
            !random.axes.0.is_empty(),
            "random.axes",
            "nothing",
            "at least one key",
        );
        for (key, distribution) in &random.axes.0 {
            let place = format!("random.axes.{key}");
            let other = axes.insert(key, "random");
            p.require(
                other.is_none(),
                &place,
                "a key that another axis sets",
                "each key once",
            );
            of_distribution(distribution, &place, p);
        }
    }
    for (number, variant) in written.list.iter().enumerate() {
        for (key, _) in &variant.set.0 {
            let other = axes.get(key.as_str());
            p.require(
                other.is_none(),
                &format!("list.{number}.set.{key}"),
                format!("a key that {} sets too", other.unwrap_or(&"")),
                "it in one place",
            );
        }
    }
    p.require(
        count <= MOST,
        "grid",
        format!("{count} variants"),
        &format!("at most {MOST}"),
    );
}

fn of_distribution(distribution: &Distribution, place: &str, p: &mut Problems) {
    let (bounds, positive) = match distribution {
        Distribution::Uniform(bounds) => (bounds, false),
        Distribution::LogUniform(bounds) => (bounds, true),
        Distribution::Choice(values) => {
            p.require(!values.is_empty(), place, "[]", "at least one value");
            return;
        }
    };
    let [low, high] = bounds.each_ref().map(|b| b.as_f64().unwrap_or(f64::NAN));
    let right = low < high && (low > 0.0 || !positive) && high.is_finite();
    let expected = match positive {
        true => "two positive numbers, the lesser first",
        false => "two numbers, the lesser first",
    };
    p.require(
        right,
        place,
        format!("[{}, {}]", bounds[0], bounds[1]),
        expected,
    );
}

fn of_budget(budget: &Budget, p: &mut Problems) {
    let stage = budget.metric.split_once(": ").map(|m| m.0);
    p.require(
        stage.is_some_and(|s| Stage::ALL.iter().any(|known| known.name() == s)),
        "metric",
        &budget.metric,
        "a figure as `stage: figure`, such as `train-autoencoder: held-out mean squared error`",
    );
    chosen_by("metric", &budget.metric, p);
    p.require(
        !budget.rungs.is_empty() && budget.rungs.is_sorted_by(|a, b| a < b) && budget.rungs[0] > 0,
        "rungs",
        format!("{:?}", budget.rungs),
        "ascending values, such as [100, 300]",
    );
    p.require(
        budget.keep > 0.0 && budget.keep < 1.0,
        "keep",
        budget.keep,
        "a share between 0 and 1, such as 0.5",
    );
}

/// Refuses a figure of test rows for selection.
fn chosen_by(key: &str, figure: &str, p: &mut Problems) {
    if let Some(expected) = refuse_to_choose_by(figure) {
        p.add(key, figure, &expected);
    }
}

fn of_bounds(written: &SweepFile, p: &mut Problems) {
    if let Some(objective) = &written.objective {
        chosen_by("objective.figure", &objective.figure, p);
    }
    for (number, constraint) in written.constraints.iter().enumerate() {
        chosen_by(
            &format!("constraints.{number}.figure"),
            &constraint.figure,
            p,
        );
    }
    for (number, constraint) in written.constraints.iter().enumerate() {
        let key = format!("constraints.{number}");
        let bounded = constraint.at_least.is_some() || constraint.at_most.is_some();
        p.require(bounded, &key, "no bound", "`at_least` or `at_most`");
        ordered(&key, constraint.at_least, constraint.at_most, p);
    }
    for (number, check) in written.checks.iter().enumerate() {
        let key = format!("checks.{number}");
        ordered(&key, check.at_least, check.at_most, p);
    }
}

fn ordered(key: &str, least: Option<f64>, most: Option<f64>, p: &mut Problems) {
    if let (Some(least), Some(most)) = (least, most) {
        let key = format!("{key}.at_least");
        p.require(least <= most, &key, least, "no more than `at_most`");
    }
}

/// Problems with the names of the variants `points`, and with checks that name them.
pub fn of_variants(written: &SweepFile, points: &[Point]) -> Vec<String> {
    let mut problems = Problems::new();
    let p = &mut problems;
    let seed = written.seeds.iter().max().copied().unwrap_or(0);
    let rungs = written.budget.iter().flat_map(|b| &b.rungs).max();
    let end = rungs.map_or(String::new(), |rung| format!(".rung{rung}"));
    let runs = (points.iter()).map(|point| run_name(&written.name, &point.name, seed) + &end);
    if let Some(longest) = runs.max_by_key(String::len) {
        p.require(
            longest.len() <= LONGEST,
            "name",
            format!("the run name {longest}"),
            &format!(
                "at most {LONGEST} characters; shorten the sweep's name or the variants' names"
            ),
        );
    }
    for (number, Check { variant, .. }) in written.checks.iter().enumerate() {
        p.require(
            points.iter().any(|point| point.name == *variant),
            &format!("checks.{number}.variant"),
            variant,
            "the name of a variant in `list`",
        );
    }
    problems.messages().to_vec()
}
