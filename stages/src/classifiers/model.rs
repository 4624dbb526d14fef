//! A classifier whose penultimate activations are features.

use crate::architectures::{ArchitectureConfig, halving_layers, linear_layers, through_halving};
use crate::data::DataShape;
use crate::fused::{linear_layer, linear_silu_layer};
use crate::random::Streams;
use crate::training::initialise;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

/// Convolutions (none for vectors and dense networks), linear layers to F features, and a linear
/// layer from these to the K classes; SiLU after every layer but the last.
#[derive(Module, Debug)]
pub struct Classifier {
    down: Vec<Conv2d>,
    hidden: Vec<Linear>,
    head: Linear,
}

impl Classifier {
    /// A classifier of data of `shape` with `features` penultimate activations, initialised from
    /// `streams`; `None` for free points, which have no data.
    pub fn new(
        architecture: &ArchitectureConfig,
        features: usize,
        classes: usize,
        shape: DataShape,
        streams: Streams,
        device: &Device,
    ) -> Option<Self> {
        let (down, hidden) = match architecture {
            ArchitectureConfig::Dense { widths, .. } => {
                let sizes = [&[shape.elements()], widths.as_slice(), &[features]].concat();
                (Vec::new(), linear_layers(&sizes, device))
            }
            ArchitectureConfig::Convolutional { channels } => {
                let stages = [&[shape.channels], channels.as_slice()].concat();
                let halved = |size: usize| channels.iter().fold(size, |n, _| n.div_ceil(2));
                let inner = stages[channels.len()] * halved(shape.height) * halved(shape.width);
                (
                    halving_layers(&stages, device),
                    linear_layers(&[inner, features], device),
                )
            }
            ArchitectureConfig::Points { .. } => return None,
        };
        let head = LinearConfig::new(features, classes).init(device);
        Some(initialise(Self { down, hidden, head }, streams))
    }

    /// The penultimate activations: `data` [B, C, H, W] -> [B, F].
    pub fn features(&self, data: Tensor<4>) -> Tensor<2> {
        let mut x = match self.down.is_empty() {
            true => data.flatten(1, 3),
            false => through_halving(&self.down, data),
        };
        for layer in &self.hidden {
            x = linear_silu_layer(layer, x);
        }
        x
    }

    /// Unnormalised log-probabilities: `data` [B, C, H, W] -> [B, K].
    pub fn logits(&self, data: Tensor<4>) -> Tensor<2> {
        linear_layer(&self.head, self.features(data))
    }
}
