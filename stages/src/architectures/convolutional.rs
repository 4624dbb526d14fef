//! Convolutional encoder and decoder.

use crate::data::DataShape;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor};

/// 3 x 3 convolutions of stride 2, each halving the image (rounded up), then a linear layer; the
/// decoder mirrors them with transposed convolutions.
#[derive(Module, Debug)]
pub struct Convolutional {
    down: Vec<Conv2d>,
    to_outputs: Linear,
    from_latents: Linear,
    up: Vec<ConvTranspose2d>,
    channels: usize,
    height: usize,
    width: usize,
}

impl Convolutional {
    /// Stages of `channels`, from data of `shape` to `outputs` numbers, and from `latents` numbers
    /// back.
    pub fn new(
        channels: &[usize],
        shape: DataShape,
        outputs: usize,
        latents: usize,
        device: &Device,
    ) -> Self {
        let stages = [&[shape.channels], channels].concat();
        // the image after each stage
        let mut sizes = vec![(shape.height, shape.width)];
        for _ in channels {
            let (height, width) = sizes[sizes.len() - 1];
            sizes.push((height.div_ceil(2), width.div_ceil(2)));
        }
        // A transposed convolution of stride 2 gives 2 n - 1 rows; one more where the image was even.
        let extra = |size: usize| usize::from(size.is_multiple_of(2));
        let up = (0..channels.len())
            .rev()
            .map(|stage| {
                let (height, width) = sizes[stage];
                ConvTranspose2dConfig::new([stages[stage + 1], stages[stage]], [3, 3])
                    .with_stride([2, 2])
                    .with_padding([1, 1])
                    .with_padding_out([extra(height), extra(width)])
                    .init(device)
            })
            .collect();
        let (height, width) = sizes[channels.len()];
        let channels = stages[stages.len() - 1];
        let inner = channels * height * width;
        Self {
            down: halving_layers(&stages, device),
            to_outputs: LinearConfig::new(inner, outputs).init(device),
            from_latents: LinearConfig::new(latents, inner).init(device),
            up,
            channels,
            height,
            width,
        }
    }

    /// `data` [B, C, H, W] -> [B, outputs].
    pub fn encode(&self, data: Tensor<4>) -> Tensor<2> {
        let mut x = data;
        for layer in &self.down {
            x = silu(layer.forward(x));
        }
        self.to_outputs.forward(x.flatten(1, 3))
    }

    /// `latents` [B, latents] -> [B, C, H, W].
    pub fn decode(&self, latents: Tensor<2>) -> Tensor<4> {
        let [rows, _] = latents.dims();
        let mut x = (self.from_latents.forward(latents)).reshape([
            rows,
            self.channels,
            self.height,
            self.width,
        ]);
        for layer in &self.up {
            x = layer.forward(silu(x));
        }
        x
    }
}

/// 3 x 3 convolutions from each of `channels` to the next, each halving the image (rounded up).
pub(crate) fn halving_layers(channels: &[usize], device: &Device) -> Vec<Conv2d> {
    (channels.windows(2))
        .map(|pair| {
            Conv2dConfig::new([pair[0], pair[1]], [3, 3])
                .with_stride([2, 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device)
        })
        .collect()
}
