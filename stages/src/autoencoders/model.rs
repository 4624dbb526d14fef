//! An autoencoder: an architecture between data and the numbers of a posterior.

use super::config::{ArchitectureConfig, LatentConfig, Posterior, Reconstruction};
use super::convolutional::Convolutional;
use super::dense::Dense;
use crate::tensors::from_f32;
use crate::training::{Streams, initialise, normal};
use burn::module::Module;
use burn::tensor::activation::{sigmoid, softplus};
use burn::tensor::{Device, Tensor};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// The shape of one row of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataShape {
    /// Channels; the width of a vector.
    pub channels: usize,
    /// Rows of an image; 1 for a vector.
    pub height: usize,
    /// Columns of an image; 1 for a vector.
    pub width: usize,
}

impl DataShape {
    /// Numbers in a row.
    pub fn elements(self) -> usize {
        self.channels * self.height * self.width
    }
}

/// Encoder and decoder of one kind.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // there is one of them
enum Architecture {
    Dense(Dense),
    Convolutional(Convolutional),
}

/// Encoder, posterior and decoder.
#[derive(Module, Debug)]
pub struct Autoencoder {
    architecture: Architecture,
    tokens: usize,
    width: usize,
    gaussian: bool,
}

/// What the encoder says of each row, T tokens of width d seen as T rows.
#[derive(Debug, Clone)]
pub struct Encoding {
    /// The latent, or the mean of its posterior [B * T, d].
    pub mean: Tensor<2>,
    /// The log-variance of a Gaussian posterior [B * T, d].
    pub log_variance: Option<Tensor<2>>,
}

/// Log-variances are confined to +- this, so that a bad start cannot overflow.
const LOG_VARIANCE: f64 = 15.0;

impl Encoding {
    /// A latent [B * T, d]: the mean itself, or a draw from the Gaussian posterior.
    pub fn draw(&self, rng: &mut Pcg64) -> Tensor<2> {
        match &self.log_variance {
            None => self.mean.clone(),
            Some(log_variance) => {
                let dims = self.mean.dims();
                let noise = from_f32(
                    normal(rng, dims.iter().product()),
                    dims,
                    &self.mean.device(),
                );
                self.mean.clone() + log_variance.clone().mul_scalar(0.5).exp() * noise
            }
        }
    }

    /// `KL(q(z|x) || N(0, I))` of a Gaussian posterior in nats, mean over elements `[1]`.
    pub fn kl(&self) -> Option<Tensor<1>> {
        let log_variance = self.log_variance.clone()?;
        let terms = self.mean.clone().square() + log_variance.clone().exp() - log_variance - 1.0;
        Some(terms.mean().mul_scalar(0.5))
    }
}

impl Autoencoder {
    /// An autoencoder of data of `shape`, with weights drawn from `streams`; `None` for free points,
    /// which encode nothing.
    pub fn new(
        architecture: &ArchitectureConfig,
        latent: &LatentConfig,
        posterior: Posterior,
        shape: DataShape,
        streams: Streams,
        device: &Device,
    ) -> Option<Self> {
        let latents = latent.tokens * latent.width;
        let gaussian = posterior == Posterior::Gaussian;
        let outputs = if gaussian { 2 * latents } else { latents };
        let architecture = match architecture {
            ArchitectureConfig::Dense { widths } => {
                Architecture::Dense(Dense::new(widths, shape, outputs, latents, device))
            }
            ArchitectureConfig::Convolutional { channels } => Architecture::Convolutional(
                Convolutional::new(channels, shape, outputs, latents, device),
            ),
            ArchitectureConfig::Points { .. } => return None,
        };
        let autoencoder = Self {
            architecture,
            tokens: latent.tokens,
            width: latent.width,
            gaussian,
        };
        Some(initialise(autoencoder, streams))
    }

    /// `data` [B, C, H, W] -> the posterior of its latents.
    pub fn encode(&self, data: Tensor<4>) -> Encoding {
        let [rows, ..] = data.dims();
        let outputs = match &self.architecture {
            Architecture::Dense(net) => net.encode(data),
            Architecture::Convolutional(net) => net.encode(data),
        };
        let tokens = |outputs: Tensor<2>| outputs.reshape([rows * self.tokens, self.width]);
        if !self.gaussian {
            return Encoding {
                mean: tokens(outputs),
                log_variance: None,
            };
        }
        let half = self.tokens * self.width;
        let log_variance = outputs.clone().narrow(1, half, half);
        Encoding {
            mean: tokens(outputs.narrow(1, 0, half)),
            log_variance: Some(tokens(log_variance).clamp(-LOG_VARIANCE, LOG_VARIANCE)),
        }
    }

    /// Latents [B * T, d] -> what the reconstruction term compares with the data [B, C, H, W].
    pub fn decode(&self, latents: Tensor<2>) -> Tensor<4> {
        let [rows, width] = latents.dims();
        let latents = latents.reshape([rows / self.tokens, self.tokens * width]);
        match &self.architecture {
            Architecture::Dense(net) => net.decode(latents),
            Architecture::Convolutional(net) => net.decode(latents),
        }
    }
}

impl Reconstruction {
    /// The reconstruction term, mean over elements `[1]`; `decoded` and `data` [B, C, H, W].
    pub fn loss(self, decoded: Tensor<4>, data: Tensor<4>) -> Tensor<1> {
        match self {
            Self::Mse => (decoded - data).square().mean(),
            Self::L1 => (decoded - data).abs().mean(),
            // -x log s(l) - (1 - x) log(1 - s(l)) = softplus(l) - x l
            Self::Bernoulli => (softplus(decoded.clone(), 1.0) - data * decoded).mean(),
        }
    }

    /// The decoder's output as data: logits become probabilities.
    pub fn data(self, decoded: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Mse | Self::L1 => decoded,
            Self::Bernoulli => sigmoid(decoded),
        }
    }
}
