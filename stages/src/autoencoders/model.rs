//! An autoencoder: an architecture between data and the numbers of a posterior.

use super::config::{AutoencoderHeader, Posterior, Reconstruction};
use crate::architectures::{ArchitectureConfig, Convolutional, Dense};
use crate::random::{Streams, normal};
use crate::tensors::from_f32;
use crate::training::initialise;
use burn::module::{Module, Param};
use burn::tensor::activation::{sigmoid, softplus};
use burn::tensor::{Device, Tensor};
use rand_pcg::Pcg64;
use std::f64::consts::TAU;

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
    /// The log-scale of a discretised logistic likelihood `[1]`.
    log_scale: Option<Param<Tensor<1>>>,
    tokens: usize,
    width: usize,
    gaussian: bool,
    /// The standard deviation of fixed noise, or 0.
    noise: f64,
    /// What the data was divided by.
    maximum: f64,
}

/// What the encoder says of each row, T tokens of width d seen as T rows.
#[derive(Debug, Clone)]
pub struct Encoding {
    /// The latent, or the mean of its posterior [B * T, d].
    pub mean: Tensor<2>,
    /// The log-variance of a Gaussian posterior, learned or fixed [B * T, d].
    pub log_variance: Option<Tensor<2>>,
}

/// The log-scale at which a discretised logistic likelihood starts: a tenth of the data's range.
const LOG_SCALE: f32 = -2.3;
/// Log-variances are confined to +- this, so that a bad start cannot overflow.
const LOG_VARIANCE: f64 = 15.0;

impl Encoding {
    /// Whether a latent is drawn, and not the mean itself.
    pub fn has_noise(&self) -> bool {
        self.log_variance.is_some()
    }

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
        let [_, width] = self.mean.dims();
        Some(self.kl_of_tokens()?.mean().div_scalar(width as f64))
    }

    /// The same of each token [B * T, 1].
    pub fn kl_of_tokens(&self) -> Option<Tensor<2>> {
        let log_variance = self.log_variance.clone()?;
        let terms = self.mean.clone().square() + log_variance.clone().exp() - log_variance - 1.0;
        Some(terms.sum_dim(1).mul_scalar(0.5))
    }

    /// The entropy of a Gaussian posterior in nats, mean over elements `[1]`:
    /// `(log sigma^2 + ln(2 pi e)) / 2`.
    pub fn entropy(&self) -> Option<Tensor<1>> {
        let log_variance = self.log_variance.clone()?;
        Some((log_variance.mean() + (TAU.ln() + 1.0)).mul_scalar(0.5))
    }

    /// The same of each token [B * T, 1].
    pub fn entropy_of_tokens(&self) -> Option<Tensor<2>> {
        let log_variance = self.log_variance.clone()?;
        let terms = log_variance + (TAU.ln() + 1.0);
        Some(terms.sum_dim(1).mul_scalar(0.5))
    }
}

impl Autoencoder {
    /// The autoencoder that `header` describes, with weights drawn from `streams`; `None` for free
    /// points, which encode nothing.
    pub fn new(header: &AutoencoderHeader, streams: Streams, device: &Device) -> Option<Self> {
        let AutoencoderHeader {
            architecture,
            latent,
            posterior,
            reconstruction,
            shape,
            maximum,
        } = header;
        let shape = *shape;
        let latents = latent.tokens * latent.width;
        let gaussian = *posterior == Posterior::Gaussian;
        let noise = match posterior {
            Posterior::FixedNoise { scale } => *scale,
            _ => 0.0,
        };
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
            log_scale: None,
            tokens: latent.tokens,
            width: latent.width,
            gaussian,
            noise,
            maximum: *maximum,
        };
        let mut autoencoder = initialise(autoencoder, streams);
        if *reconstruction == Reconstruction::DiscretisedLogistic {
            let start = from_f32(vec![LOG_SCALE], [1], device);
            autoencoder.log_scale = Some(Param::from_tensor(start));
        }
        Some(autoencoder)
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
            let mean = tokens(outputs);
            let fixed = (self.noise > 0.0).then(|| mean.full_like(2.0 * self.noise.ln()));
            return Encoding {
                mean,
                log_variance: fixed,
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

impl Autoencoder {
    /// The reconstruction term of each element [B, C, H, W] of `decoded` and `data`.
    pub fn reconstruction_losses(
        &self,
        reconstruction: Reconstruction,
        decoded: Tensor<4>,
        data: Tensor<4>,
    ) -> Tensor<4> {
        match reconstruction {
            Reconstruction::Mse => (decoded - data).square(),
            Reconstruction::L1 => (decoded - data).abs(),
            // -x log s(l) - (1 - x) log(1 - s(l)) = softplus(l) - x l
            Reconstruction::Bernoulli => softplus(decoded.clone(), 1.0) - data * decoded,
            Reconstruction::DiscretisedLogistic => {
                let log_scale = self.log_scale.as_ref().expect("made with it").val();
                discretised_logistic_nll(decoded, data, log_scale, self.maximum)
            }
        }
    }
}

/// The negative logarithm in nats of the probability of whole numbers, seen as `data` in [0, 1] with
/// bins of width 1 / maximum, under a logistic density around `location`; the outer bins are open
/// (Kingma et al. 2016, arXiv 1606.04934).
///
/// With a = (x + h - m) / s and b = (x - h - m) / s, h half a bin,
/// `log(sigma(a) - sigma(b)) = log sigma(a) + log sigma(-b) + log(1 - exp(b - a))`.
fn discretised_logistic_nll(
    location: Tensor<4>,
    data: Tensor<4>,
    log_scale: Tensor<1>,
    maximum: f64,
) -> Tensor<4> {
    let half = 0.5 / maximum;
    let precision = log_scale.neg().exp().reshape([1, 1, 1, 1]); // 1 / s
    let centred = data.clone() - location;
    let upper = (centred.clone() + half) * precision.clone();
    let lower = (centred - half) * precision.clone();
    // -log sigma(a) = softplus(-a)
    let above = softplus(upper.neg(), 1.0);
    let below = softplus(lower, 1.0);
    let inside = (precision.mul_scalar(-2.0 * half).exp().neg() + 1.0).log();
    let first = data.clone().lower_elem(half).float().cast(data.dtype()); // x = 0
    let dtype = data.dtype();
    let last = data.greater_elem(1.0 - half).float().cast(dtype); // x = maximum
    let middle = (first.clone() + last.clone()).neg() + 1.0;
    // the first bin has no lower end, the last no upper one
    above * (last.neg() + 1.0) + below * (first.neg() + 1.0) - inside * middle
}

impl Reconstruction {
    /// The decoder's output [n, C, H, W] as data: logits become probabilities, and whole numbers stay in range.
    pub fn data(self, decoded: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Mse | Self::L1 => decoded,
            Self::Bernoulli => sigmoid(decoded),
            Self::DiscretisedLogistic => decoded.clamp(0.0, 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::{from_f64, to_f64};
    use burn::tensor::DType;

    #[test]
    fn the_probabilities_of_all_whole_numbers_add_up_to_one() {
        let device = Device::flex();
        let levels = 17;
        let data: Vec<f64> = (0..levels).map(|i| i as f64 / 16.0).collect();
        for (location, scale) in [(0.4, 0.05), (-0.2, 0.3), (1.0, 0.002)] {
            let shape = [levels, 1, 1, 1];
            let data: Tensor<4> = from_f64(data.clone(), shape, DType::F64, &device);
            let at = data.full_like(location);
            let scale = from_f64::<1>(vec![f64::ln(scale)], [1], DType::F64, &device);
            let nll = to_f64(discretised_logistic_nll(at, data, scale, 16.0)).unwrap();
            let total: f64 = nll.iter().map(|nll| (-nll).exp()).sum();
            assert!((total - 1.0).abs() < 1e-9, "{location}: {total}");
        }
    }

    #[test]
    fn entropy_and_kl_are_the_closed_forms() {
        let device = Device::flex();
        let tensor = |v: f64| from_f64::<2>(vec![v], [1, 1], DType::F64, &device);
        let (mean, variance) = (0.7, 0.3f64);
        let encoding = Encoding {
            mean: tensor(mean),
            log_variance: Some(tensor(variance.ln())),
        };
        let value = |t: Option<Tensor<1>>| to_f64(t.unwrap()).unwrap()[0];
        let entropy = 0.5 * (TAU * std::f64::consts::E * variance).ln();
        assert!((value(encoding.entropy()) - entropy).abs() < 1e-12);
        let of_token = to_f64(encoding.entropy_of_tokens().unwrap()).unwrap()[0];
        assert!((of_token - entropy).abs() < 1e-12);
        let kl = 0.5 * (mean * mean + variance - variance.ln() - 1.0);
        assert!((value(encoding.kl()) - kl).abs() < 1e-12);
    }
}
