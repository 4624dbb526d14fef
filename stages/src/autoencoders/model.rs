//! An autoencoder: an architecture between data and the parameters of a posterior.

use super::config::{AutoencoderHeader, Reconstruction};
use super::top_level::Between;
use crate::architectures::{ArchitectureConfig, Convolutional, Dense};
use crate::fused::bernoulli;
use crate::posteriors::{Head, Posterior, PosteriorHead};
use crate::random::Streams;
use crate::tensors::from_f32;
use crate::training::{initialise, initialise_with_biases};
use burn::module::{Module, Param};
use burn::tensor::activation::{sigmoid, softplus};
use burn::tensor::{Device, Tensor};

/// Encoder and decoder of one kind.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // there is only one
enum Architecture {
    Dense(Dense),
    Convolutional(Convolutional),
}

/// Encoder, posterior and decoder.
#[derive(Module, Debug)]
pub struct Autoencoder {
    architecture: Architecture,
    /// Log-scale of a discretised logistic likelihood `[1]`.
    log_scale: Option<Param<Tensor<1>>>,
    tokens: usize,
    width: usize,
    posterior: PosteriorHead,
    /// Computes z_1 from latents if there are two levels.
    between: Option<Between>,
    /// Divisor of the data.
    maximum: f64,
}

/// Initial log-scale of a discretised logistic likelihood: a tenth of the data's range.
const LOG_SCALE: f32 = -2.3;
impl Autoencoder {
    /// The autoencoder described by `header`, initialised from `streams`; `None` for free points, which have no
    /// encoder.
    pub fn new(header: &AutoencoderHeader, streams: Streams, device: &Device) -> Option<Self> {
        let AutoencoderHeader {
            architecture,
            latent,
            posterior,
            reconstruction,
            shape,
            maximum,
            binarise: _,
        } = header;
        let shape = *shape;
        let latents = latent.shape().elements();
        let outputs = latents + posterior.kind().others(latent.shape());
        let decoded = latents - latent.top.as_ref().map_or(0, |top| top.numbers);
        let architecture = match architecture {
            ArchitectureConfig::Dense { widths, gated } => {
                Architecture::Dense(Dense::new(widths, *gated, shape, outputs, decoded, device))
            }
            ArchitectureConfig::Convolutional { channels } => Architecture::Convolutional(
                Convolutional::new(channels, shape, outputs, decoded, device),
            ),
            ArchitectureConfig::Points { .. } => return None,
        };
        let mut autoencoder = Self {
            architecture: initialise(architecture, streams),
            log_scale: None,
            tokens: latent.tokens,
            width: latent.width,
            posterior: PosteriorHead::new(posterior, latent.shape(), streams, device),
            between: (latent.top.as_ref()).map(|top| Between::new(top, latents, streams, device)),
            maximum: *maximum,
        };
        if *reconstruction == Reconstruction::DiscretisedLogistic {
            let start = from_f32(vec![LOG_SCALE], [1], device);
            autoencoder.log_scale = Some(Param::from_tensor(start));
        }
        Some(autoencoder)
    }

    /// The same initial weights with biases uniform on +-sqrt(1 / fan_in) instead of zero, as in PyTorch.
    pub fn with_initial_biases(self, streams: Streams) -> Self {
        Self {
            architecture: initialise_with_biases(self.architecture, streams),
            ..self
        }
    }

    /// `data` [B, C, H, W] -> the posteriors of its latents [B * T, d].
    pub fn encode(&self, data: Tensor<4>) -> Box<dyn Posterior> {
        self.posterior_of(self.outputs(data))
    }

    /// `data` [B, C, H, W] -> the encoder's outputs [B, k].
    pub fn outputs(&self, data: Tensor<4>) -> Tensor<2> {
        match &self.architecture {
            Architecture::Dense(net) => net.encode(data),
            Architecture::Convolutional(net) => net.encode(data),
        }
    }

    /// The encoder's `outputs` [B, k] -> the posteriors of latents [B * T, d].
    pub fn posterior_of(&self, outputs: Tensor<2>) -> Box<dyn Posterior> {
        let ([_, count], latents) = (outputs.dims(), self.tokens * self.width);
        if count == latents {
            return self.posterior.posterior(outputs, None);
        }
        let means = outputs.clone().narrow(1, 0, latents);
        let others = outputs.narrow(1, latents, count - latents);
        self.posterior.posterior(means, Some(others))
    }

    /// Latents [B * T, d] -> input of the reconstruction term [B, C, H, W].
    pub fn decode(&self, latents: Tensor<2>) -> Tensor<4> {
        let [rows, width] = latents.dims();
        let latents = latents.reshape([rows / self.tokens, self.tokens * width]);
        let latents = match &self.between {
            Some(between) => between.decode(latents),
            None => latents,
        };
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
            Reconstruction::Bernoulli => {
                let (dims, rows) = (decoded.dims(), |x: Tensor<4>| x.flatten::<2>(1, 3));
                bernoulli(rows(decoded), rows(data)).reshape(dims)
            }
            Reconstruction::DiscretisedLogistic => {
                let log_scale = self.log_scale.as_ref().expect("made with it").val();
                discretised_logistic_nll(decoded, data, log_scale, self.maximum)
            }
        }
    }
}

/// The negative log-probability in nats of integers, given as `data` in [0, 1] with bins of width 1 / maximum,
/// under a logistic density around `location`; the outer bins are unbounded (Kingma et al. 2016, arXiv
/// 1606.04934).
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
    // the first bin has no lower bound, the last no upper one
    above * (last.neg() + 1.0) + below * (first.neg() + 1.0) - inside * middle
}

impl Reconstruction {
    /// Converts the decoder's output [n, C, H, W] to data: logits become probabilities, and integers are
    /// clamped to their range.
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
    use crate::architectures::ArchitectureConfig;
    use crate::data::DataShape;
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

    /// Fails if other weights are drawn, a layer keeps a bias of zero, or the bound is not that of its inputs.
    #[test]
    fn initial_biases_are_within_the_bound_of_their_layer_and_change_no_weight() {
        let header = AutoencoderHeader {
            architecture: ArchitectureConfig::Dense {
                widths: vec![64],
                gated: false,
            },
            latent: serde_json::from_str(r#"{"width": 5}"#).unwrap(),
            posterior: Default::default(),
            reconstruction: Reconstruction::Mse,
            shape: DataShape {
                channels: 1,
                height: 1,
                width: 16,
            },
            maximum: 1.0,
            binarise: None,
        };
        let streams = Streams::new(0);
        let plain = Autoencoder::new(&header, streams, &Device::flex()).unwrap();
        let random = plain.clone().with_initial_biases(streams);
        let layers = |model: &Autoencoder| {
            let values = |tensor: Tensor<1>| to_f64(tensor).unwrap();
            let layers = match &model.architecture {
                Architecture::Dense(net) => net.layers(),
                Architecture::Convolutional(_) => unreachable!(),
            };
            let parts = layers.map(|layer| {
                let bias = layer.bias.as_ref().unwrap().val();
                let [inputs, _] = layer.weight.val().dims();
                (
                    values(layer.weight.val().flatten(0, 1)),
                    values(bias),
                    inputs,
                )
            });
            parts.collect::<Vec<_>>()
        };
        let (plain, random) = (layers(&plain), layers(&random));
        assert_eq!(plain.len(), 4);
        for ((weights, zeros, inputs), (same, biases, _)) in plain.iter().zip(&random) {
            assert_eq!(weights, same);
            assert!(zeros.iter().all(|bias| *bias == 0.0));
            let bound = (1.0 / *inputs as f64).sqrt();
            let largest = biases
                .iter()
                .fold(0.0f64, |most, bias| most.max(bias.abs()));
            assert!(
                largest <= bound + 1e-6 && largest > 0.4 * bound,
                "{largest} {bound}"
            );
        }
    }
}
