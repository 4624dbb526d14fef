//! Configuration of the stage.

use super::conditions::ConditionConfig;
use super::rows::Rows;
use crate::data::{Files, NonFinite, NormalisationConfig, PartConfig, SourceConfig};
use crate::priors::{Logit, ModelConfig, Noise, Offers, Schedule};
use crate::sequences::Tokeniser;
use crate::stages::reference::Reference;
use crate::training::OptimiserConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Fit a prior to target features: a flow-matching model, or another kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PretrainFlow")]
pub struct Config {
    /// The target features.
    pub features: FeaturesConfig,
    /// Held-out rows, used for selection: learning curves and sweeps.
    #[serde(default)]
    pub held_out: PartConfig,
    /// Test rows, never used for selection; reported figures are of these.
    #[serde(default)]
    pub test: PartConfig,
    /// Conversion of features to training points.
    #[serde(default)]
    pub normalisation: NormalisationConfig,
    /// The model to fit.
    #[serde(default)]
    pub model: ModelConfig,
    /// The definition of a point: a token, a whole row of tokens, or a feature or an image cut into tokens.
    #[serde(default)]
    pub rows: Rows,
    /// Noise added to features; none by default. It is drawn anew for each training step, and once for held-out and
    /// test features and for features passed to `score`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
    /// Condition of points; none by default.
    #[serde(default)]
    pub condition: Option<ConditionConfig>,
    /// Optimiser and schedule.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
    /// Training steps.
    #[serde(default = "defaults::steps")]
    pub steps: u64,
    /// Training points per step.
    #[serde(default = "defaults::batch")]
    pub batch: usize,
    /// Steps between evaluations of the held-out loss.
    #[serde(default = "defaults::evaluate_every")]
    pub evaluate_every: u64,
    /// Number of evaluations without a lower held-out loss after which training stops, with the averaged weights of
    /// the best one; by default training takes all steps and uses the last weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<u64>,
    /// Points in the held-out evaluation, with fixed noise and times.
    #[serde(default = "defaults::evaluation_points")]
    pub evaluation_points: usize,
    /// Samples drawn from the trained flow at the end.
    #[serde(default = "defaults::samples")]
    pub samples: usize,
    /// Number of test features whose NLL is computed at the end.
    #[serde(default = "defaults::nll_points")]
    pub nll_points: usize,
    /// Number of samples of the trained flow compared with equally many test features, to check its training; 0 for
    /// none. Time and memory grow with the square.
    #[serde(default = "defaults::compared")]
    pub compared: usize,
    /// Features smaller than this (after normalisation) are kept in memory, larger ones are streamed.
    #[serde(default = "defaults::memory_mib")]
    pub memory_mib: usize,
}

/// The features of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeaturesConfig {
    /// Read an artifact of another stage, such as the latents of another experiment's autoencoder:
    /// `{experiment: other.yaml, stage: train_autoencoder}`. Missing artifacts are computed first.
    #[serde(default)]
    pub from: Option<Reference>,
    /// The HDF5 file, relative to the configuration file; or several whose datasets follow each other, as a list or as
    /// a pattern such as features-*.h5; with `from`, the name of a file in that artifact, such as
    /// latents.h5; with `tokeniser`, a text file with one sequence per line.
    pub file: Files,
    /// The dataset in it: features [N, D] or tokens [N, T, D], or images [N, C, H, W] or [N, H, W] with
    /// `rows: {patches: P}`; f16, f32, f64 or u8.
    #[serde(default = "defaults::dataset")]
    pub dataset: String,
    /// What to do with rows that hold NaN or an infinity.
    #[serde(default)]
    pub non_finite: NonFinite,
    /// How sequences are split into tokens: features are then the lines of a text file, for
    /// `model: {kind: seqflow}`. Text after a tab in a line is a score, which is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokeniser: Option<Tokeniser>,
    /// With `tokeniser`, the maximum number T of tokens per sequence; by default that of the longest one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest: Option<usize>,
}

impl FeaturesConfig {
    /// Location of the features.
    pub(super) fn source(&self) -> SourceConfig {
        SourceConfig {
            file: self.file.clone(),
            dataset: self.dataset.clone(),
            non_finite: self.non_finite,
        }
    }
}

pub(super) mod defaults {
    crate::defaults::defaults! {
        dataset: String = "features".into();
        steps: u64 = 3000;
        batch: usize = 256;
        evaluate_every: u64 = 250;
        evaluation_points: usize = 8192;
        samples: usize = 1000;
        nll_points: usize = 256;
        compared: usize = 1000;
        memory_mib: usize = 512;
    }
}

impl Config {
    /// The logit that the prior sees in place of pixels, if configured.
    pub(super) fn logit(&self) -> Option<Logit> {
        let margin = self.normalisation.logit?;
        Some(Logit { margin })
    }

    /// What the prior offers besides its density. Behind a logit it has no velocity of points.
    pub fn offers(&self) -> Offers {
        match self.logit() {
            Some(_) => Offers::Density,
            None => self.model.kind().offers(),
        }
    }

    /// The training schedule of the prior.
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
