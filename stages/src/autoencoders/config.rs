//! Configuration of an autoencoder: its latents and its reconstruction.

use super::top_level::TopLevel;
use crate::architectures::ArchitectureConfig;
use crate::data::{Binarise, DataShape};
use crate::posteriors::PosteriorConfig;
use crate::priors::PointShape;
use crate::problems::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The shape of a latent: tokens that the prior may treat as independent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatentConfig {
    /// Tokens T per row.
    #[serde(default = "one")]
    pub tokens: usize,
    /// Width d of a token; must equal the flow's width.
    pub width: usize,
    /// Makes the autoencoder a VAE of two levels: the last numbers of a row parametrise the distribution of the
    /// others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<TopLevel>,
}

fn one() -> usize {
    1
}

impl LatentConfig {
    /// The latents' shape per row.
    pub fn shape(&self) -> PointShape {
        PointShape {
            tokens: self.tokens,
            width: self.width,
        }
    }

    /// Reports every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.within("tokens", self.tokens, 1..=65_536);
        problems.within("width", self.width, 1..=65_536);
        if let Some(top) = &self.top {
            problems.section("top", |p| top.check(self.shape().elements(), p));
        }
    }
}

/// The reconstruction term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reconstruction {
    /// Mean squared error over elements.
    #[default]
    Mse,
    /// Mean absolute error over elements.
    L1,
    /// Bernoulli negative log-likelihood in nats, mean over elements; data in [0, 1].
    Bernoulli,
    /// Negative log-likelihood in nats of integers under a logistic density with a learned scale, integrated
    /// over each integer's bin, mean over elements (Kingma et al. 2016, arXiv 1606.04934): the ELBO is then one
    /// of the data, in bits per dimension. Data in u8.
    DiscretisedLogistic,
}

impl Reconstruction {
    /// Whether the term is a negative log-likelihood in nats.
    pub fn in_nats(self) -> bool {
        matches!(self, Self::Bernoulli | Self::DiscretisedLogistic)
    }
}

/// The header of `autoencoder.safetensors`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AutoencoderHeader {
    /// Encoder and decoder.
    pub architecture: ArchitectureConfig,
    /// The shape of a latent.
    pub latent: LatentConfig,
    pub posterior: PosteriorConfig,
    pub reconstruction: Reconstruction,
    pub shape: DataShape,
    /// Divisor of the data's values.
    pub maximum: f64,
    /// Whether the encoded data is binary, drawn with the values as probabilities, and when it was drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binarise: Option<Binarise>,
}
