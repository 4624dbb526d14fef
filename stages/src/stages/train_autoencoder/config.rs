//! What the stage is asked.

use crate::alignment::RegulariserConfig;
use crate::architectures::ArchitectureConfig;
use crate::autoencoders::{LatentConfig, Posterior, Reconstruction};
use crate::context::Context;
use crate::data::{DataConfig, PartConfig, check_memory, check_parts};
use crate::problems::Problems;
use crate::random::Streams;
use crate::training::{MatmulPrecision, OptimiserConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rows encoded at a time.
pub(super) const CHUNK: usize = 512;

/// The stage's streams of random numbers.
pub(super) fn streams(context: &Context) -> Streams {
    Streams::of_stage("train-autoencoder", context.seed)
}

/// Train an autoencoder whose latents follow the frozen flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TrainAutoencoder")]
pub struct Config {
    /// The images or vectors to encode; absent for `architecture: {kind: points}`.
    #[serde(default)]
    pub data: Option<DataConfig>,
    /// Which rows are held out, for what chooses: learning curves, the best checkpoint, sweeps.
    #[serde(default)]
    pub held_out: PartConfig,
    /// Which rows choose nothing: figures that are shown are of these.
    #[serde(default)]
    pub test: PartConfig,
    /// Encoder and decoder.
    #[serde(default)]
    pub architecture: ArchitectureConfig,
    /// The shape of a latent.
    pub latent: LatentConfig,
    /// What the encoder outputs.
    #[serde(default)]
    pub posterior: Posterior,
    /// How a reconstruction is compared with its input.
    #[serde(default)]
    pub reconstruction: Reconstruction,
    /// What holds the latents to the prior.
    #[serde(default)]
    pub regulariser: RegulariserConfig,
    /// What the matrix products of the frozen flow are taken in, for the regulariser.
    #[serde(default)]
    pub precision: MatmulPrecision,
    /// Optimiser and schedule.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
    /// Training steps.
    #[serde(default = "defaults::steps")]
    pub steps: u64,
    /// Rows a step.
    #[serde(default = "defaults::batch")]
    pub batch: usize,
    /// Steps between evaluations on the held-out rows.
    #[serde(default = "defaults::evaluate_every")]
    pub evaluate_every: u64,
    /// Data is kept in memory below this size, and streamed above it.
    #[serde(default = "defaults::memory_mib")]
    pub memory_mib: usize,
}

mod defaults {
    pub fn steps() -> u64 {
        2000
    }
    pub fn batch() -> usize {
        128
    }
    pub fn evaluate_every() -> u64 {
        100
    }
    pub fn memory_mib() -> usize {
        512
    }
}

impl Config {
    /// Notes every value out of range.
    pub(super) fn check_values(&self, problems: &mut Problems) {
        let points = matches!(self.architecture, ArchitectureConfig::Points { .. });
        problems.require(
            self.data.is_some() != points,
            "data",
            if points { "data" } else { "nothing" },
            if points {
                "no data, since free points encode none (remove `data`)"
            } else {
                "`data: {file: ..., dataset: ...}` naming what to encode"
            },
        );
        if let Some(data) = &self.data {
            problems.section("data", |p| data.check(p));
        }
        check_parts(&self.held_out, &self.test, false, problems);
        problems.section("architecture", |p| self.architecture.check(p));
        problems.section("latent", |p| self.latent.check(p));
        problems.section("regulariser", |p| self.regulariser.check(p));
        problems.section("optimiser", |p| self.optimiser.check(p));
        problems.section("posterior", |p| self.posterior.check(p));
        if self.regulariser.needs_noise() {
            problems.require(
                self.posterior != Posterior::Deterministic,
                "posterior.kind",
                "deterministic",
                "`gaussian` or `fixed_noise`: a KL divergence needs a posterior with noise",
            );
        }
        if points {
            problems.require(
                self.regulariser.follows_flow(),
                "regulariser.kind",
                "another kind",
                "`alignment`, `flow_kl` or `distribution_matching`, which move free points towards the \
                 flow",
            );
            problems.require(
                self.latent.tokens == 1,
                "latent.tokens",
                self.latent.tokens,
                "1 token for each free point",
            );
        }
        problems.at_least("steps", self.steps, 1);
        problems.at_least("batch", self.batch, 1);
        problems.at_least("evaluate_every", self.evaluate_every, 1);
        check_memory(problems, self.memory_mib);
    }
}
