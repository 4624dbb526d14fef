//! What an autoencoder is: its latents and its reconstruction.

use super::top_level::TopLevel;
use crate::architectures::ArchitectureConfig;
use crate::data::{Binarise, DataShape};
use crate::posteriors::PosteriorConfig;
use crate::priors::PointShape;
use crate::problems::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The shape of a latent: tokens that the prior treats as independent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatentConfig {
    /// Tokens T a row.
    #[serde(default = "one")]
    pub tokens: usize,
    /// Width d of a token; the flow's width.
    pub width: usize,
    /// Makes the autoencoder a VAE of two levels: the last numbers of a row say what the others mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<TopLevel>,
}

fn one() -> usize {
    1
}

impl LatentConfig {
    /// The latents of a row.
    pub fn shape(&self) -> PointShape {
        PointShape {
            tokens: self.tokens,
            width: self.width,
        }
    }

    /// Notes every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.within("tokens", self.tokens, 1..=65_536);
        problems.within("width", self.width, 1..=65_536);
        if let Some(top) = &self.top {
            problems.section("top", |p| top.check(self.shape().elements(), p));
        }
    }
}

/// How a reconstruction is compared with its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reconstruction {
    /// Mean squared error over elements.
    #[default]
    Mse,
    /// Mean absolute error over elements.
    L1,
    /// Mean over elements of the Bernoulli negative log-likelihood in nats; data in [0, 1].
    Bernoulli,
    /// Mean over elements of the negative log-likelihood in nats of whole numbers under a logistic
    /// density of one learned scale, integrated over each number's bin (Kingma et al. 2016, arXiv
    /// 1606.04934): with it the ELBO is one of the data, in bits a dimension. Data in u8.
    DiscretisedLogistic,
}

impl Reconstruction {
    /// True if the term is a negative log-likelihood in nats.
    pub fn in_nats(self) -> bool {
        matches!(self, Self::Bernoulli | Self::DiscretisedLogistic)
    }
}

/// What the header of `autoencoder.safetensors` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AutoencoderHeader {
    /// Encoder and decoder.
    pub architecture: ArchitectureConfig,
    /// The shape of a latent.
    pub latent: LatentConfig,
    /// What the encoder outputs.
    pub posterior: PosteriorConfig,
    /// What the decoder's output means.
    pub reconstruction: Reconstruction,
    /// The shape of a row of data.
    pub shape: DataShape,
    /// What the data's values were divided by.
    pub maximum: f64,
    /// Whether what is encoded is binary data of which the values are the probabilities, and when it was drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binarise: Option<Binarise>,
}
