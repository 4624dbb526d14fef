//! Configuration of features: source, split and normalisation.

use super::files::Files;
use crate::error::Result;
use crate::problems::Problems;
use latent_align_hdf5::Dataset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Reports a memory budget out of range.
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
    /// The HDF5 file, relative to the configuration file; or several.
    pub file: Files,
    /// The dataset in that file: [N, D], [N, T, D] or images [N, C, H, W]; f16, f32, f64 or u8.
    #[serde(default = "default_dataset")]
    pub dataset: String,
    /// What to do with rows that contain NaN or infinity.
    #[serde(default)]
    pub non_finite: NonFinite,
}

impl SourceConfig {
    /// Opens the dataset.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn open(&self) -> Result<Dataset> {
        Ok(Dataset::open_all(self.file.all(), &self.dataset)?)
    }
}

fn default_dataset() -> String {
    "features".into()
}

/// What to do with rows that contain NaN or infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NonFinite {
    /// Stop with an error that counts them and names the first.
    #[default]
    Refuse,
    /// Leave these rows out and record their number.
    Drop,
}

/// The rows of a part: a random share, a separate dataset, or a list of items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartConfig {
    /// Random share of the training dataset's rows, keyed by the seed, at most 0.5; 0.05 if neither `dataset` nor
    /// `indices` is given. 0 for no test part: figures are then of held-out rows.
    #[serde(default)]
    pub fraction: Option<f64>,
    /// Alternatively, a separate dataset such as test_images, with rows like those of the training dataset.
    #[serde(default)]
    pub dataset: Option<String>,
    /// Alternatively, a dataset `[n]` with the indices of these items in the training dataset, from 0.
    #[serde(default)]
    pub indices: Option<String>,
    /// The HDF5 file of `dataset` or `indices`, relative to the configuration file; by default that of the training
    /// dataset.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// With `dataset`, for `train_classifier` only: the dataset of its classes in the same file.
    #[serde(default)]
    pub labels: Option<String>,
    /// Maximum number of rows of the part that are used for evaluation and stored with the artifact.
    #[serde(default = "default_at_most")]
    pub at_most: usize,
}

fn default_at_most() -> usize {
    10_000
}

impl Default for PartConfig {
    fn default() -> Self {
        Self {
            fraction: None,
            dataset: None,
            indices: None,
            file: None,
            labels: None,
            at_most: default_at_most(),
        }
    }
}

/// Default share of rows in a part.
const SHARE: f64 = 0.05;

impl PartConfig {
    /// The random share of items; 0 if the part is given explicitly.
    pub fn share(&self) -> f64 {
        match (&self.dataset, &self.indices) {
            (None, None) => self.fraction.unwrap_or(SHARE),
            _ => 0.0,
        }
    }

    /// Reports every value out of range; `may_be_empty` allows a share of 0.
    fn check(&self, may_be_empty: bool, problems: &mut Problems) {
        let share = self.share();
        let given = [
            ("fraction", self.fraction.is_some()),
            ("dataset", self.dataset.is_some()),
            ("indices", self.indices.is_some()),
        ];
        let given: Vec<&str> = (given.iter()).filter(|g| g.1).map(|g| g.0).collect();
        let last = given.last().copied().unwrap_or("fraction");
        problems.require(
            given.len() <= 1,
            last,
            given.join(" and "),
            "one of fraction, dataset and indices (set the others to null)",
        );
        let drawn = self.dataset.is_none() && self.indices.is_none();
        let (least, expected) = match may_be_empty {
            true => (0.0, "a share in [0, 0.5], such as 0.05"),
            false => (f64::MIN_POSITIVE, "a share in (0, 0.5], such as 0.05"),
        };
        problems.require(
            !drawn || (least..=0.5).contains(&share),
            "fraction",
            share,
            expected,
        );
        if let (true, Some(file)) = (drawn, &self.file) {
            let expected = "no file without `dataset` or `indices`, which it contains";
            problems.add("file", file.display(), expected);
        }
        problems.at_least("at_most", self.at_most, 2);
    }
}

/// The files of the held-out and test parts, if given, with their keys.
pub fn files_of_parts<'a>(
    held_out: &'a mut PartConfig,
    test: &'a mut PartConfig,
) -> impl Iterator<Item = (String, &'a mut PathBuf)> {
    let parts = [("held_out.file", held_out), ("test.file", test)];
    (parts.into_iter()).filter_map(|(key, part)| Some((key.to_owned(), part.file.as_mut()?)))
}

/// Reports every value out of range of the held-out and test parts; `labelled` if rows have classes.
pub fn check_parts(
    held_out: &PartConfig,
    test: &PartConfig,
    labelled: bool,
    problems: &mut Problems,
) {
    for (key, part) in [("held_out", held_out), ("test", test)] {
        problems.section(key, |p| {
            part.check(key == "test", p);
            match (&part.dataset, &part.labels, labelled) {
                (Some(dataset), None, true) => p.add(
                    "labels",
                    "nothing",
                    &format!("the dataset of the classes of `{dataset}`"),
                ),
                (dataset, Some(labels), labelled) if dataset.is_none() || !labelled => p.add(
                    "labels",
                    labels,
                    "no labels: only train_classifier has them, for a `dataset` of its own",
                ),
                _ => {}
            }
        });
    }
    let both = held_out.share() + test.share();
    problems.require(
        both <= 0.9,
        "test.fraction",
        format!("{both} in both parts together"),
        "at most 0.9, so that there are rows to train on",
    );
}

/// Conversion of features to the flow's training points: centre, whiten, project, whiten again; or, with `levels`,
/// pixels to [-1, 1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NormalisationConfig {
    /// Subtract the mean of the training rows.
    pub centre: bool,
    /// How features are scaled to unit spread, before and after the projection.
    pub whiten: Whiten,
    /// How the features' width is reduced.
    pub projection: Projection,
    /// Alternatively, for pixels with L levels, 0 to L - 1 (256 for u8): k becomes 2 k / L - 1. Whitening would
    /// amplify pixels that hardly ever change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub levels: Option<usize>,
    /// With `levels` and uniform noise: the prior sees the logit of pixels, of (k + u) / L moved this far from 0 and
    /// 1, such as 1e-6, divided by 4. For images whose pixels are mostly black or white, and for likelihoods: the
    /// prior then has no velocity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logit: Option<f64>,
}

impl NormalisationConfig {
    /// Reports every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        if let Some(margin) = self.logit {
            problems.require(
                self.levels.is_some(),
                "logit",
                format!("{margin} without `levels`"),
                "`levels` beside it: it is of pixels in a known range",
            );
        }
        let Some(levels) = self.levels else {
            return;
        };
        problems.within("levels", levels, 2..=1 << 24);
        let alone = Self {
            levels: Some(levels),
            logit: self.logit,
            ..Self::default()
        };
        problems.require(
            *self == alone,
            "levels",
            format!("{levels} with `centre`, `whiten` or `projection`"),
            "levels alone: they replace the other keys",
        );
    }
}

impl Default for NormalisationConfig {
    fn default() -> Self {
        Self {
            centre: true,
            whiten: Whiten::PerDimension,
            projection: Projection::None,
            levels: None,
            logit: None,
        }
    }
}

/// How features are scaled to unit spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Whiten {
    /// Keep the scale.
    None,
    /// Divide by one number, the root mean square of all (centred) entries, as in the paper.
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
