//! Which features to read, how to split them and how to normalise them.

use crate::problems::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Notes a memory budget out of range.
pub fn check_memory(problems: &mut Problems, mib: usize) {
    problems.require(
        (1..=1 << 24).contains(&mib),
        "memory_mib",
        mib,
        "1 to 16777216 (16 TiB)",
    );
}

/// A dataset in an HDF5 file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// The HDF5 file, relative to the configuration file.
    pub file: PathBuf,
    /// The dataset in it: [N, D], [N, T, D] or images [N, C, H, W]; f16, f32, f64 or u8.
    #[serde(default = "default_dataset")]
    pub dataset: String,
    /// What to do with rows that hold NaN or an infinity.
    #[serde(default)]
    pub non_finite: NonFinite,
}

fn default_dataset() -> String {
    "features".into()
}

/// What to do with rows that hold NaN or an infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NonFinite {
    /// Stop with an error that counts them and names the first.
    #[default]
    Refuse,
    /// Leave these rows out and record how many there were.
    Drop,
}

/// Which rows are kept for evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {
    /// The share of rows held out, in (0, 0.5].
    pub fraction: f64,
    /// At most this many held-out rows are used for evaluation and kept with the artifact.
    pub at_most: usize,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self {
            fraction: 0.1,
            at_most: 10_000,
        }
    }
}

impl SplitConfig {
    /// Notes every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.require(
            self.fraction > 0.0 && self.fraction <= 0.5,
            "fraction",
            self.fraction,
            "a share in (0, 0.5], such as 0.1",
        );
        problems.require(
            self.at_most >= 2,
            "at_most",
            self.at_most,
            "at least 2 rows",
        );
    }
}

/// How features become the flow's training points: centre, whiten, project, whiten again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NormalisationConfig {
    /// Subtract the mean of the training rows.
    pub centre: bool,
    /// How the spread is brought to one, before and after the projection.
    pub whiten: Whiten,
    /// How the features' width is reduced.
    pub projection: Projection,
}

impl Default for NormalisationConfig {
    fn default() -> Self {
        Self {
            centre: true,
            whiten: Whiten::PerDimension,
            projection: Projection::None,
        }
    }
}

/// How the spread is brought to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Whiten {
    /// Leave the scale as it is.
    None,
    /// Divide by one number, the root mean square of all (centred) entries, as the paper does.
    Global,
    /// Divide each dimension by its standard deviation.
    PerDimension,
    /// Rotate and scale to the identity covariance (symmetric square root).
    Full,
}

/// How the features' width is reduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Projection {
    /// Keep the width.
    None,
    /// A fixed random matrix with entries N(0, 1/D), D the features' width (Li et al.).
    Random {
        /// The width after the projection.
        width: usize,
    },
    /// The directions of largest variance.
    Pca {
        /// The width after the projection.
        width: usize,
    },
}

impl Projection {
    /// The width after projecting features of width `features`.
    pub fn output_width(&self, features: usize) -> usize {
        match *self {
            Self::None => features,
            Self::Random { width } | Self::Pca { width } => width,
        }
    }
}
