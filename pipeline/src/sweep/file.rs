//! The YAML format of a sweep.

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

/// Trials of an experiment: every variant of `list`, combined with every point of `grid` and every draw of
/// `random`, each with every seed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepFile {
    /// Names the folder under artifacts/sweeps, and prefixes the names of the trials.
    pub name: String,
    /// The experiment to vary, relative to this file.
    pub base: PathBuf,
    /// Keys of the experiment and their values in every trial.
    #[serde(default)]
    pub set: InOrder<Spanned<AnyValue>>,
    /// Named variants, each with the values of several keys.
    #[serde(default)]
    pub list: Vec<Variant>,
    /// Keys of the experiment, each with its values; every combination is a variant.
    #[serde(default)]
    pub grid: InOrder<Vec<Spanned<AnyValue>>>,
    /// Keys of the experiment whose values are drawn at random.
    #[serde(default)]
    pub random: Option<Random>,
    /// Each variant runs once with each seed.
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
    /// Figures to tabulate, as `stage: figure`; by default the key figures of the stages.
    #[serde(default)]
    pub columns: Vec<String>,
    /// The objective by which variants are ranked; by default the metric of `budget`.
    #[serde(default)]
    pub objective: Option<Objective>,
    /// Bounds on the figures of a variant; a variant outside of them is excluded.
    #[serde(default)]
    pub constraints: Vec<Constraint>,
    /// Stops poor variants early, by successive halving.
    #[serde(default)]
    pub budget: Option<Budget>,
    /// How trials are submitted with `--launcher slurm`.
    #[serde(default)]
    pub slurm: Slurm,
    /// Claims about figures; a claim that does not hold gives an exit code.
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

/// Keys whose values are drawn at random. A draw depends only on the seed, the key and its number: more
/// draws or other keys do not change earlier values.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Random {
    /// The number of draws.
    pub count: u64,
    /// The seed of the draws, not of the experiments.
    #[serde(default)]
    pub seed: u64,
    /// Keys of the experiment and the distributions of their values.
    pub axes: InOrder<Distribution>,
}

/// The distribution of a key. Between two integers, integers are drawn.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Uniform between the two values.
    Uniform([AnyNumber; 2]),
    /// The logarithm is uniform between the logarithms of the two values, both positive.
    LogUniform([AnyNumber; 2]),
    /// One of these, with equal probability.
    Choice(Vec<AnyValue>),
}

/// A figure and its direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// The figure, as `stage: figure`.
    pub figure: String,
    /// Which direction is better.
    #[serde(default)]
    pub direction: Direction,
}

/// Which direction is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The smallest value is best.
    #[default]
    Minimise,
    /// The largest value is best.
    Maximise,
}

/// A bound on a figure, averaged over seeds; a variant outside of it is excluded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constraint {
    /// The figure, as `stage: figure`.
    pub figure: String,
    /// The lower bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// The upper bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
}

/// Successive halving (Jamieson and Talwalkar, arXiv 1502.07943): every variant trains for the steps of the
/// first rung, the best ones continue to the next rung, and the remaining ones train in full. Each rung
/// trains from the start, up to the stage of the metric.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The figure for comparing variants, averaged over seeds, as `stage: figure`.
    pub metric: String,
    /// Which direction is better.
    #[serde(default)]
    pub direction: Direction,
    /// The key that holds the budget; by default the training steps of the metric's stage.
    #[serde(default)]
    pub key: Option<String>,
    /// Values of the key, ascending, each smaller than the experiment's own.
    pub rungs: Vec<u64>,
    /// The share of the variants that continues from a rung, rounded up.
    pub keep: f64,
}

/// How trials are submitted to Slurm, as one job array.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slurm {
    /// The partition; by default the cluster's.
    #[serde(default)]
    pub partition: Option<String>,
    /// The time limit of a trial, such as `2:00:00`. A minute before its end the trial receives a signal to
    /// stop.
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
    /// Shell lines to run before a trial, such as `module load cuda`.
    #[serde(default)]
    pub setup: Vec<String>,
}

/// A claim about a figure of one variant, averaged over its seeds; without bounds the figure is only shown.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The claim, in words.
    pub claim: String,
    /// The variant.
    pub variant: String,
    /// Its figure, as `stage: figure`.
    pub figure: String,
    /// Another of its figures, to be subtracted.
    #[serde(default)]
    pub minus: Option<String>,
    /// The lower bound.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// The upper bound.
    #[serde(default)]
    pub at_most: Option<f64>,
}

impl Direction {
    /// Orders values, the better one first. NaN is last.
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
    /// Whether a figure meets the constraint; a missing figure and NaN do not.
    pub fn is_met_by(&self, value: Option<f64>) -> bool {
        value.is_some_and(|value| is_within(value, self.at_least, self.at_most))
    }
}

/// Whether `value` lies within the given bounds. NaN does not.
pub fn is_within(value: f64, least: Option<f64>, most: Option<f64>) -> bool {
    least.is_none_or(|least| value >= least) && most.is_none_or(|most| value <= most)
}

/// Any value that a key may have.
pub type AnyValue = Value;
/// A number that remembers whether it was written as an integer.
pub type AnyNumber = serde_json::Number;

/// Dotted keys and their values, in the order of the file.
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

/// The JSON Schema of the values of keys, without the positions in the text.
pub trait Described {
    /// The name of the map from keys to this type.
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
