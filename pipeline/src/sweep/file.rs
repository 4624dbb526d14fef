//! What the YAML of a sweep says.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use serde_yaml::Spanned;
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// Variants of an experiment, each with several seeds, and a table of their figures.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Sweep")]
pub struct SweepFile {
    /// Names the folder under artifacts/sweeps, and starts the names of the trials.
    pub name: String,
    /// The experiment that varies, relative to this file.
    pub base: PathBuf,
    /// Its variants.
    pub list: Vec<Variant>,
    /// Each variant runs once with each.
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
    /// Figures to tabulate, as `stage: figure`; by default those of the last stage.
    #[serde(default)]
    pub columns: Vec<String>,
    /// What is sought among the trials.
    #[serde(default)]
    pub objective: Option<Objective>,
    /// What the figures of a trial must be for it to count.
    #[serde(default)]
    pub constraints: Vec<Constraint>,
    /// What its figures must be.
    #[serde(default)]
    pub checks: Vec<Check>,
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

/// What a figure must be for a trial to count.
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

fn one_seed() -> Vec<u64> {
    vec![0]
}

/// A variant of an experiment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name in the table.
    pub name: String,
    /// Another experiment than the sweep's `base`, relative to this file.
    #[serde(default)]
    pub base: Option<PathBuf>,
    /// Keys of the experiment and their values.
    #[serde(default)]
    pub set: Settings,
}

/// Dotted keys and their values with the places where these stand, in order.
#[derive(Debug, Default)]
pub struct Settings(pub Vec<(String, Spanned<Value>)>);

impl Settings {
    /// The keys and their values, without the places.
    pub fn values(&self) -> Map<String, Value> {
        let settings = self.0.iter();
        settings
            .map(|(key, value)| (key.clone(), value.value.clone()))
            .collect()
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Settings;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map of keys such as train_autoencoder.regulariser.weight to values")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Settings, A::Error> {
                let mut settings = Vec::new();
                while let Some(setting) = map.next_entry()? {
                    settings.push(setting);
                }
                Ok(Settings(settings))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// Any keys: which ones there are depends on the experiment, and is checked when it is read.
impl JsonSchema for Settings {
    fn schema_name() -> Cow<'static, str> {
        "Settings".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Keys of the experiment and their values, such as `train_autoencoder.regulariser.weight: 0.01`.",
            "type": "object",
            "propertyNames": { "pattern": r"^[a-z_]+(\.[a-z0-9_]+)*$" },
        })
    }
}
