//! Stage 1: pretrain a flow-matching model on target features.

use crate::context::{Context, Monitor, Summary};
use crate::error::Result;
use crate::features::{NormalisationConfig, SourceConfig, SplitConfig};
use crate::flows::VelocityNetworkConfig;
use crate::problems::Problems;
use crate::training::OptimiserConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Pretrain a flow-matching model on target features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The target features.
    pub features: SourceConfig,
    /// Which rows are held out.
    #[serde(default)]
    pub held_out: SplitConfig,
    /// How features become training points.
    #[serde(default)]
    pub normalisation: NormalisationConfig,
    /// The size of the velocity network.
    #[serde(default)]
    pub network: VelocityNetworkConfig,
    /// Optimiser and schedule.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
    /// Training steps.
    #[serde(default = "defaults::steps")]
    pub steps: u64,
    /// Training points a step.
    #[serde(default = "defaults::batch")]
    pub batch: usize,
    /// Stratified times a step, each shared by batch / times points; the time embedding and its
    /// modulations are computed once for each.
    #[serde(default = "defaults::times")]
    pub times: usize,
    /// Steps between evaluations of the held-out loss.
    #[serde(default = "defaults::evaluate_every")]
    pub evaluate_every: u64,
    /// Points in the held-out evaluation, with noise and times fixed beforehand.
    #[serde(default = "defaults::evaluation_points")]
    pub evaluation_points: usize,
    /// Samples drawn from the trained flow at the end.
    #[serde(default = "defaults::samples")]
    pub samples: usize,
    /// Held-out features whose NLL is computed at the end.
    #[serde(default = "defaults::nll_points")]
    pub nll_points: usize,
    /// Features are kept in memory below this size (after normalisation), and streamed above it.
    #[serde(default = "defaults::memory_mib")]
    pub memory_mib: usize,
}

mod defaults {
    pub fn steps() -> u64 {
        3000
    }
    pub fn batch() -> usize {
        256
    }
    pub fn times() -> usize {
        64
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
    pub fn memory_mib() -> usize {
        512
    }
}

impl Config {
    /// Notes every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.section("held_out", |p| self.held_out.check(p));
        problems.section("network", |p| self.network.check(p));
        problems.section("optimiser", |p| self.optimiser.check(p));
        problems.require(self.steps >= 1, "steps", self.steps, "at least 1");
        problems.require(self.batch >= 1, "batch", self.batch, "at least 1");
        problems.require(
            self.times >= 1 && self.batch.is_multiple_of(self.times),
            "times",
            self.times,
            &format!("a divisor of batch ({})", self.batch),
        );
        problems.require(
            self.evaluate_every >= 1,
            "evaluate_every",
            self.evaluate_every,
            "at least 1",
        );
        problems.require(
            self.evaluation_points >= 1,
            "evaluation_points",
            self.evaluation_points,
            "at least 1",
        );
        problems.require(
            self.memory_mib >= 1,
            "memory_mib",
            self.memory_mib,
            "at least 1",
        );
    }

    /// The files this stage reads.
    pub fn inputs_mut(&mut self) -> Vec<&mut PathBuf> {
        vec![&mut self.features.file]
    }
}

/// The stage with its input opened, scanned and found good.
pub struct Prepared {
    config: Config,
    seed: u64,
}

/// Opens and scans the features; whatever is wrong with them is found here, before any training.
pub fn prepare(config: &Config, seed: u64, monitor: &dyn Monitor) -> Result<Prepared> {
    let _ = monitor;
    Ok(Prepared {
        config: config.clone(),
        seed,
    })
}

impl Prepared {
    /// The width of the flow's points.
    pub fn latent_width(&self) -> usize {
        todo!()
    }

    /// Trains the flow and fills the directory of `context`.
    pub fn run(self, context: &Context) -> Result<Summary> {
        let _ = (context, self.config, self.seed);
        todo!()
    }
}
