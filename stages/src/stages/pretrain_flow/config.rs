//! How the stage is configured.

use super::conditions::ConditionConfig;
use super::rows::Rows;
use crate::data::{NonFinite, NormalisationConfig, PartConfig, SourceConfig};
use crate::priors::{ModelConfig, Noise, Schedule};
use crate::sequences::Tokeniser;
use crate::stages::reference::Reference;
use crate::training::OptimiserConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Fit a prior to target features: a flow-matching model, or another kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PretrainFlow")]
pub struct Config {
    /// The target features.
    pub features: FeaturesConfig,
    /// Which rows are held out, for what chooses: learning curves and sweeps.
    #[serde(default)]
    pub held_out: PartConfig,
    /// Which rows choose nothing: figures that are shown are of these.
    #[serde(default)]
    pub test: PartConfig,
    /// How features become training points.
    #[serde(default)]
    pub normalisation: NormalisationConfig,
    /// What is fitted.
    #[serde(default)]
    pub model: ModelConfig,
    /// What a point is: a token, a whole row of them, or a feature or an image that is cut into tokens.
    #[serde(default)]
    pub rows: Rows,
    /// Noise that is added to features, nothing by default: to train with, once to held-out and test features, and to
    /// features that `score` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
    /// What points are conditioned on; nothing by default.
    #[serde(default)]
    pub condition: Option<ConditionConfig>,
    /// Optimiser and schedule.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
    /// Training steps.
    #[serde(default = "defaults::steps")]
    pub steps: u64,
    /// Training points a step.
    #[serde(default = "defaults::batch")]
    pub batch: usize,
    /// Steps between evaluations of the held-out loss.
    #[serde(default = "defaults::evaluate_every")]
    pub evaluate_every: u64,
    /// Evaluations without a lower held-out loss after which training stops, with the averaged weights of the best one;
    /// by default it takes all steps, and the last weights count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<u64>,
    /// Points in the held-out evaluation, with noise and times fixed beforehand.
    #[serde(default = "defaults::evaluation_points")]
    pub evaluation_points: usize,
    /// Samples drawn from the trained flow at the end.
    #[serde(default = "defaults::samples")]
    pub samples: usize,
    /// Test features whose NLL is computed at the end.
    #[serde(default = "defaults::nll_points")]
    pub nll_points: usize,
    /// Samples of the trained flow that are compared with as many test features, to say whether it is trained; 0 for
    /// none. Time and memory grow with the square.
    #[serde(default = "defaults::compared")]
    pub compared: usize,
    /// Features are kept in memory below this size (after normalisation), and streamed above it.
    #[serde(default = "defaults::memory_mib")]
    pub memory_mib: usize,
}

/// The features of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeaturesConfig {
    /// Read an artifact of another stage, such as the latents of another experiment's autoencoder:
    /// `{experiment: other.yaml, stage: train_autoencoder}`. What it needs runs first.
    #[serde(default)]
    pub from: Option<Reference>,
    /// The HDF5 file, relative to the configuration file; with `from`, the name of a file in that
    /// artifact, such as latents.h5; with `tokeniser`, a text file with one sequence a line.
    pub file: PathBuf,
    /// The dataset in it: features [N, D] or tokens [N, T, D], or images [N, C, H, W] or [N, H, W] with
    /// `rows: {patches: P}`; f16, f32, f64 or u8.
    #[serde(default = "defaults::dataset")]
    pub dataset: String,
    /// What to do with rows that hold NaN or an infinity.
    #[serde(default)]
    pub non_finite: NonFinite,
    /// How sequences are cut into tokens: features are then the lines of a text file, for `model: {kind: seqflow}`. What
    /// stands after a tab in a line is a score, which the flow leaves alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokeniser: Option<Tokeniser>,
    /// With `tokeniser`, the most tokens that a sequence may have, T; as many as the longest one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest: Option<usize>,
}

impl FeaturesConfig {
    /// Where the features are.
    pub(super) fn source(&self) -> SourceConfig {
        SourceConfig {
            file: self.file.clone(),
            dataset: self.dataset.clone(),
            non_finite: self.non_finite,
        }
    }
}

pub(super) mod defaults {
    pub fn dataset() -> String {
        "features".into()
    }
    pub fn steps() -> u64 {
        3000
    }
    pub fn batch() -> usize {
        256
    }
    pub fn evaluate_every() -> u64 {
        250
    }
    pub fn evaluation_points() -> usize {
        8192
    }
    pub fn samples() -> usize {
        1000
    }
    pub fn nll_points() -> usize {
        256
    }
    pub fn compared() -> usize {
        1000
    }
    pub fn memory_mib() -> usize {
        512
    }
}

impl Config {
    /// How long and how fast the prior is fitted.
    pub(super) fn schedule(&self) -> Schedule {
        Schedule {
            optimiser: self.optimiser.clone(),
            steps: self.steps,
            batch: self.batch,
            evaluate_every: self.evaluate_every,
            evaluation_points: self.evaluation_points,
            early_stopping: self.early_stopping,
        }
    }
}
