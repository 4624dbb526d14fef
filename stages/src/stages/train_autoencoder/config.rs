//! Configuration of the stage.

use super::fine_tune::FineTune;
use crate::alignment::RegulariserConfig;
use crate::architectures::ArchitectureConfig;
use crate::autoencoders::{LatentConfig, Reconstruction};
use crate::data::{Binarise, DataConfig, PartConfig, check_memory, check_parts};
use crate::posteriors::PosteriorConfig;
use crate::problems::{Problems, quoted};
use crate::training::{MatmulPrecision, OptimiserConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rows encoded at once.
pub(super) const CHUNK: usize = 512;

/// Train an autoencoder whose latents follow the frozen flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TrainAutoencoder")]
pub struct Config {
    /// The images or vectors to encode; absent for `architecture: {kind: points}`.
    #[serde(default)]
    pub data: Option<DataConfig>,
    /// Held-out rows, used for selection: learning curves, the best checkpoint, sweeps.
    #[serde(default)]
    pub held_out: PartConfig,
    /// Test rows, never used for selection; reported figures are of these.
    #[serde(default)]
    pub test: PartConfig,
    /// Encoder and decoder.
    #[serde(default)]
    pub architecture: ArchitectureConfig,
    /// Biases of the layers before training.
    #[serde(default, skip_serializing_if = "Biases::is_zero")]
    pub initial_biases: Biases,
    /// The shape of a latent.
    pub latent: LatentConfig,
    /// The encoder's posterior.
    #[serde(default)]
    pub posterior: PosteriorConfig,
    /// The reconstruction term.
    #[serde(default)]
    pub reconstruction: Reconstruction,
    /// Treat values in [0, 1] as probabilities of binary data, drawn once or in each epoch: the binary data is both
    /// encoded and compared with the reconstruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binarise: Option<Binarise>,
    /// How latents are matched to the prior.
    #[serde(default)]
    pub regulariser: RegulariserConfig,
    /// The autoencoder to start from; new weights by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fine_tune: Option<FineTune>,
    /// Precision of the frozen flow's matrix products in the regulariser.
    #[serde(default)]
    pub precision: MatmulPrecision,
    /// Optimiser and schedule.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
    /// Training steps.
    #[serde(default = "defaults::steps")]
    pub steps: u64,
    /// Rows per step.
    #[serde(default = "defaults::batch")]
    pub batch: usize,
    /// Steps between evaluations on the held-out rows.
    #[serde(default = "defaults::evaluate_every")]
    pub evaluate_every: u64,
    /// Data smaller than this is kept in memory, larger data is streamed.
    #[serde(default = "defaults::memory_mib")]
    pub memory_mib: usize,
}

/// Initial biases of encoder and decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "InitialBiases")]
pub enum Biases {
    /// Zero.
    #[default]
    Zero,
    /// Uniform on +-sqrt(1 / fan_in), as in PyTorch: a lower reconstruction error after equally many steps.
    Uniform,
}

impl Biases {
    /// Whether it is the default, which is omitted, so that a configuration without the key keeps its fingerprint.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_zero(&self) -> bool {
        *self == Self::Zero
    }
}

mod defaults {
    crate::defaults::defaults! {
        steps: u64 = 2000;
        batch: usize = 128;
        evaluate_every: u64 = 100;
        memory_mib: usize = 512;
    }
}

impl Config {
    /// Reports every value out of range.
    pub(super) fn check_values(&self, p: &mut Problems) {
        let points = matches!(self.architecture, ArchitectureConfig::Points { .. });
        self.check_data(points, p);
        p.section("architecture", |p| self.architecture.check(p));
        p.section("latent", |p| self.latent.check(p));
        p.section("regulariser", |p| self.check_regulariser(p));
        p.section("optimiser", |p| self.optimiser.check(p));
        if let Some(fine_tune) = &self.fine_tune {
            let regularised = !matches!(self.regulariser, RegulariserConfig::None(_));
            p.section("fine_tune", |p| fine_tune.check(regularised, p));
            let expected = "an autoencoder of data, which another experiment has trained";
            p.require(!points, "fine_tune", "free points", expected);
        }
        self.posterior.check(self.latent.shape(), p);
        self.check_density(p);
        if points {
            self.check_points(p);
        }
        p.at_least("steps", self.steps, 1);
        // pairs of latents keep them apart: the target's median alone would attract a single one
        let compared = self.regulariser.kind().samples().is_some();
        p.at_least("batch", self.batch, if compared { 2 } else { 1 });
        p.at_least("evaluate_every", self.evaluate_every, 1);
        check_memory(p, self.memory_mib);
    }

    fn check_data(&self, points: bool, p: &mut Problems) {
        let (found, expected) = match points {
            true => (
                "data",
                "no data, since free points encode none (remove `data`)",
            ),
            false => (
                "nothing",
                "`data: {file: ..., dataset: ...}` naming what to encode",
            ),
        };
        p.require(self.data.is_some() != points, "data", found, expected);
        if let Some(data) = &self.data {
            p.section("data", |p| data.check(p));
        }
        check_parts(&self.held_out, &self.test, false, p);
        if self.binarise.is_some() {
            let expected = "data to make binary (remove `binarise`)";
            p.require(self.data.is_some(), "binarise", "no data", expected);
            p.require(
                self.reconstruction != Reconstruction::DiscretisedLogistic,
                "reconstruction",
                "discretised_logistic with `binarise`",
                "`bernoulli`, the likelihood of binary data",
            );
        }
    }

    fn check_regulariser(&self, p: &mut Problems) {
        let kind = self.regulariser.kind();
        kind.check(p);
        kind.check_latents(self.latent.shape(), p);
        let (steps, rises_over) = (self.steps, kind.rises_over());
        let expected = format!("fewer than the {steps} steps of the training");
        p.require(
            rises_over < steps.max(1),
            "warm_up_steps",
            rises_over,
            &expected,
        );
    }

    /// A posterior without a density where the regulariser needs one.
    fn check_density(&self, p: &mut Problems) {
        if !self.regulariser.kind().needs_density() || self.posterior.kind().has_density() {
            return;
        }
        let kinds = PosteriorConfig::examples().into_iter();
        let kinds = kinds.filter(|posterior| posterior.kind().has_density());
        let kinds = quoted(&kinds.map(|kind| kind.name()).collect::<Vec<_>>());
        let expected =
            format!("{kinds}: a KL divergence, or an entropy, needs a posterior with noise");
        p.add("posterior.kind", self.posterior.name(), &expected);
    }

    /// What free points do not have.
    fn check_points(&self, p: &mut Problems) {
        if !self.regulariser.kind().follows_flow() {
            let kinds = RegulariserConfig::examples().into_iter();
            let kinds = kinds.filter(|regulariser| regulariser.kind().follows_flow());
            let following = quoted(&kinds.map(|kind| kind.name()).collect::<Vec<_>>());
            let expected = format!("{following}, which move free points towards the flow");
            p.add("regulariser.kind", self.regulariser.name(), &expected);
        }
        p.require(
            self.latent.top.is_none(),
            "latent.top",
            "a top level with free points",
            "none (remove `top`): free points are not decoded",
        );
        let tokens = self.latent.tokens;
        p.require(
            tokens == 1,
            "latent.tokens",
            tokens,
            "1 token for each free point",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Fails if unused keys are part of a fingerprint: every autoencoder would be trained again.
    #[test]
    fn what_is_not_asked_for_is_not_in_a_fingerprint() {
        let written = |value: Value| {
            let config: Config = serde_json::from_value(value).unwrap();
            serde_json::to_string(&config).unwrap()
        };
        for regulariser in ["kl", "flow_kl"] {
            let plain = json!({
                "data": {"file": "a.h5"}, "latent": {"width": 2}, "regulariser": {"kind": regulariser},
            });
            let asked = json!({
                "data": {"file": "a.h5"}, "latent": {"width": 2}, "binarise": "once",
                "initial_biases": "uniform",
                "architecture": {"kind": "dense", "gated": true},
                "regulariser": {"kind": regulariser, "warm_up_steps": 5},
            });
            let (plain, asked) = (written(plain), written(asked));
            for key in ["binarise", "gated", "warm_up_steps", "initial_biases"] {
                assert!(!plain.contains(key), "{plain}");
                assert!(asked.contains(key), "{asked}");
            }
        }
    }
}
