//! What the YAML of a sweep says.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_yaml::Spanned;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

/// Trials of an experiment: every variant of `list`, times every point of `grid`, times every draw of
/// `random`, each with every seed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepFile {
    /// Names the folder under artifacts/sweeps, and starts the names of the trials.
    pub name: String,
    /// The experiment that varies, relative to this file.
    pub base: PathBuf,
    /// Keys of the experiment and the values that they have in every trial.
    #[serde(default)]
    pub set: InOrder<Spanned<AnyValue>>,
    /// Variants by name, each with the values of several keys that go together.
    #[serde(default)]
    pub list: Vec<Variant>,
    /// Keys of the experiment, each with the values it takes; every combination is a variant.
    #[serde(default)]
    pub grid: InOrder<Vec<Spanned<AnyValue>>>,
    /// Keys of the experiment whose values are drawn at random.
    #[serde(default)]
    pub random: Option<Random>,
    /// Each variant runs once with each.
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
    /// Figures to tabulate, as `stage: figure`; by default those of the last stage.
    #[serde(default)]
    pub columns: Vec<String>,
    /// What is sought among the variants.
    #[serde(default)]
    pub objective: Option<Objective>,
    /// What the figures of a variant must be for it to count.
    #[serde(default)]
    pub constraints: Vec<Constraint>,
    /// Stops hopeless variants early, by successive halving.
    #[serde(default)]
    pub budget: Option<Budget>,
    /// How trials are submitted with `--launcher slurm`.
    #[serde(default)]
    pub slurm: Slurm,
    /// What the figures must be; a miss is an exit code.
    #[serde(default)]
    pub checks: Vec<Check>,
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

/// A variant of an experiment.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name in the table.
    pub name: String,
    /// Another experiment than the sweep's `base`, relative to this file.
    #[serde(default)]
    pub base: Option<PathBuf>,
    /// Keys of the experiment, such as train_autoencoder.regulariser.weight, and their values.
    #[serde(default)]
    pub set: InOrder<Spanned<AnyValue>>,
}

/// Keys whose values are drawn at random. A draw depends on seed, key and its number alone: more draws,
/// or another key, leave the earlier values as they were.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Random {
    /// How many draws.
    pub count: u64,
    /// The seed of the draws, not that of the experiments.
    #[serde(default)]
    pub seed: u64,
    /// Keys of the experiment, and what their values are drawn from.
    pub axes: InOrder<Distribution>,
}

/// What values are drawn from. Between two whole numbers, whole numbers are drawn.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Evenly from the least to the greatest value.
    Uniform([AnyNumber; 2]),
    /// The logarithm evenly from the least to the greatest value, both positive.
    LogUniform([AnyNumber; 2]),
    /// Any of these, equally likely.
    Choice(Vec<AnyValue>),
}

/// A figure and which way is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// The figure, as `stage: figure`.
    pub figure: String,
    /// Which way is better.
    #[serde(default)]
    pub direction: Direction,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The least value is the best.
    #[default]
    Minimise,
    /// The greatest value is the best.
    Maximise,
}

/// What a figure, mean over seeds, must be for a variant to count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constraint {
    /// The figure, as `stage: figure`.
    pub figure: String,
    /// The least it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// The most it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
}

/// Successive halving (Jamieson and Talwalkar, arXiv 1502.07943): every variant trains for the first rung's
/// steps, the best go on to the next rung, and what is left trains in full. Each rung trains from the
/// start, up to the stage of the metric.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The figure by which variants are compared, mean over seeds, as `stage: figure`.
    pub metric: String,
    /// Which way is better.
    #[serde(default)]
    pub direction: Direction,
    /// The key whose value is the budget; by default the training steps of the metric's stage.
    #[serde(default)]
    pub key: Option<String>,
    /// Values of the key, ascending, each less than the experiment's own.
    pub rungs: Vec<u64>,
    /// The share of the variants that goes on from a rung, rounded up.
    pub keep: f64,
}

/// How trials are submitted to Slurm, as one job array.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slurm {
    /// The partition; by default the cluster's.
    #[serde(default)]
    pub partition: Option<String>,
    /// The time limit of a trial, such as `2:00:00`. A minute before it ends the trial is asked to stop.
    #[serde(default)]
    pub time: Option<String>,
    /// Cores of a trial.
    #[serde(default)]
    pub cpus: Option<u32>,
    /// Memory of a trial, such as `8G`.
    #[serde(default)]
    pub memory: Option<String>,
    /// GPUs of a trial.
    #[serde(default)]
    pub gpus: Option<u32>,
    /// Further options of sbatch, such as `--account=lab`.
    #[serde(default)]
    pub options: Vec<String>,
    /// Shell lines before a trial starts, such as `module load cuda`.
    #[serde(default)]
    pub setup: Vec<String>,
}

/// A claim about a figure of one variant, mean over its seeds; without bounds it is only shown.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What is claimed, in words.
    pub claim: String,
    /// The variant.
    pub variant: String,
    /// Its figure, as `stage: figure`.
    pub figure: String,
    /// Another figure of it that is subtracted.
    #[serde(default)]
    pub minus: Option<String>,
    /// The least it may be.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// The most it may be.
    #[serde(default)]
    pub at_most: Option<f64>,
}

impl Direction {
    /// Orders values, the better one first. NaN is worse than any number.
    pub fn order(self, a: f64, b: f64) -> Ordering {
        let badness = |value: f64| match self {
            _ if value.is_nan() => f64::INFINITY,
            Self::Minimise => value,
            Self::Maximise => -value,
        };
        badness(a).total_cmp(&badness(b))
    }
}

impl Constraint {
    /// Whether a figure meets it; a missing one does not, and neither does NaN.
    pub fn is_met_by(&self, value: Option<f64>) -> bool {
        value.is_some_and(|value| is_within(value, self.at_least, self.at_most))
    }
}

/// Whether `value` lies within bounds, where there are any. NaN lies in none.
pub fn is_within(value: f64, least: Option<f64>, most: Option<f64>) -> bool {
    least.is_none_or(|least| value >= least) && most.is_none_or(|most| value <= most)
}

/// Any value that a key may have.
pub type AnyValue = Value;
/// A number that remembers whether it was written as a whole one.
pub type AnyNumber = serde_json::Number;

/// Dotted keys and what they are given, in the order in which they are written.
#[derive(Debug, Clone)]
pub struct InOrder<T>(pub Vec<(String, T)>);

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for InOrder<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = InOrder<T>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map of keys such as train_autoencoder.regulariser.weight")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InOrder<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(InOrder(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl<T: Described> JsonSchema for InOrder<T> {
    fn schema_name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = schemars::json_schema!({
            "type": "object",
            "propertyNames": { "pattern": r"^[a-z_]+(\.[a-z0-9_]+)*$" },
        });
        schema.insert("additionalProperties".into(), T::schema(generator).into());
        schema
    }
}

/// What keys may be given, as a JSON Schema: places in the text are none of it.
pub trait Described {
    /// The name of the map from keys to it.
    const NAME: &'static str;
    /// Its schema.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
}

impl Described for Spanned<AnyValue> {
    const NAME: &'static str = "Settings";
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<AnyValue>()
    }
}

impl Described for Vec<Spanned<AnyValue>> {
    const NAME: &'static str = "Grid";
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Vec<AnyValue>>()
    }
}

impl Described for Distribution {
    const NAME: &'static str = "Distributions";
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }
}
