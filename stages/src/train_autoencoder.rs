//! Stage 2: train an autoencoder whose latents follow the frozen flow.

use crate::alignment::RegulariserConfig;
use crate::autoencoders::{ArchitectureConfig, LatentConfig, Posterior, Reconstruction};
use crate::context::{Context, Monitor, Summary};
use crate::error::Result;
use crate::features::{NonFinite, SourceConfig, SplitConfig};
use crate::problems::Problems;
use crate::training::OptimiserConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Train an autoencoder whose latents follow the frozen flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The images or vectors to encode; absent for `architecture: {kind: points}`.
    #[serde(default)]
    pub data: Option<DataConfig>,
    /// Which rows are held out.
    #[serde(default)]
    pub held_out: SplitConfig,
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

/// The data of an autoencoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The HDF5 file, relative to the configuration file.
    pub file: PathBuf,
    /// The dataset in it: images [N, C, H, W] or vectors [N, D]; f16, f32, f64 or u8.
    #[serde(default = "defaults::dataset")]
    pub dataset: String,
    /// What to do with rows that hold NaN or an infinity.
    #[serde(default)]
    pub non_finite: NonFinite,
    /// Values are divided by this; by default 255 for u8 and 1 for real numbers.
    #[serde(default)]
    pub maximum: Option<f64>,
}

mod defaults {
    pub fn dataset() -> String {
        "images".into()
    }
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

impl DataConfig {
    /// Where the data is.
    pub fn source(&self) -> SourceConfig {
        SourceConfig {
            file: self.file.clone(),
            dataset: self.dataset.clone(),
            non_finite: self.non_finite,
        }
    }
}

impl Config {
    /// Notes every value out of range.
    pub fn check(&self, problems: &mut Problems) {
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
        if let Some(maximum) = self.data.as_ref().and_then(|d| d.maximum) {
            problems.section("data", |p| {
                p.require(
                    maximum > 0.0 && maximum.is_finite(),
                    "maximum",
                    maximum,
                    "a positive number such as 255",
                )
            });
        }
        problems.section("held_out", |p| self.held_out.check(p));
        problems.section("architecture", |p| self.architecture.check(p));
        problems.section("latent", |p| self.latent.check(p));
        problems.section("regulariser", |p| self.regulariser.check(p));
        problems.section("optimiser", |p| self.optimiser.check(p));
        if matches!(self.regulariser, RegulariserConfig::Kl { .. }) {
            problems.require(
                self.posterior == Posterior::Gaussian,
                "posterior",
                "deterministic",
                "`gaussian`, which the `kl` regulariser needs",
            );
        }
        problems.require(self.steps >= 1, "steps", self.steps, "at least 1");
        problems.require(self.batch >= 1, "batch", self.batch, "at least 1");
        problems.require(
            self.evaluate_every >= 1,
            "evaluate_every",
            self.evaluate_every,
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
        self.data.iter_mut().map(|d| &mut d.file).collect()
    }
}

/// The stage with its input opened, scanned and found good.
pub struct Prepared {
    config: Config,
    seed: u64,
}

/// Opens and scans the data; whatever is wrong with it, or does not fit a flow over points of width
/// `flow_width`, is found here, before any training.
pub fn prepare(
    config: &Config,
    seed: u64,
    flow_width: usize,
    monitor: &dyn Monitor,
) -> Result<Prepared> {
    let _ = (flow_width, monitor);
    Ok(Prepared {
        config: config.clone(),
        seed,
    })
}

impl Prepared {
    /// Trains the autoencoder against the flow in `flow` and fills the directory of `context`.
    pub fn run(self, flow: &Path, context: &Context) -> Result<Summary> {
        let _ = (flow, context, self.config, self.seed);
        todo!()
    }
}
