//! Convolutional encoder and decoder.

use crate::data::DataShape;
use crate::fused::{
    channels_first, channels_last, convolution, linear_layer, linear_silu_layer,
    transposed_convolution,
};
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};

/// 3 x 3 convolutions of stride 2, each halving the image size (rounded up), then a linear layer; the decoder
/// mirrors them with transposed convolutions.
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
    /// Convolutions with `channels`, from data of `shape` to `outputs` numbers, and from `latents` numbers
    /// back.
    pub fn new(
        channels: &[usize],
        shape: DataShape,
        outputs: usize,
        latents: usize,
        device: &Device,
    ) -> Self {
        let stages = [&[shape.channels], channels].concat();
        // image size after each convolution
        let mut sizes = vec![(shape.height, shape.width)];
        for _ in channels {
            let (height, width) = sizes[sizes.len() - 1];
            sizes.push((height.div_ceil(2), width.div_ceil(2)));
        }
        // A transposed convolution of stride 2 yields 2 n - 1 rows; one more if the image size was even.
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
        linear_layer(&self.to_outputs, through_halving(&self.down, data))
    }

    /// `latents` [B, latents] -> [B, C, H, W].
    pub fn decode(&self, latents: Tensor<2>) -> Tensor<4> {
        let [rows, _] = latents.dims();
        let inner = [rows, self.channels, self.height, self.width];
        let x = linear_silu_layer(&self.from_latents, latents).reshape(inner);
        let mut x = channels_last(x);
        for (index, layer) in self.up.iter().enumerate() {
            let silu = index + 1 < self.up.len();
            let bias = layer.bias.as_ref().expect("a layer with a bias").val();
            let [_, height, width, _] = x.dims();
            let [down, across] = layer.padding_out;
            let size = [2 * height - 1 + down, 2 * width - 1 + across];
            x = transposed_convolution(x, layer.weight.val(), bias, size, silu);
        }
        channels_first(x)
    }
}

/// 3 x 3 convolutions from each of `channels` to the next, each halving the image size (rounded up).
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

/// Applies `layers` of [`halving_layers`], each followed by SiLU, to `data` [B, C, H, W]: flattened, [B,
/// channels * height * width].
pub(crate) fn through_halving(layers: &[Conv2d], data: Tensor<4>) -> Tensor<2> {
    let mut x = channels_last(data);
    for layer in layers {
        let bias = layer.bias.as_ref().expect("a layer with a bias").val();
        x = convolution(x, layer.weight.val(), bias, true);
    }
    channels_first(x).flatten(1, 3)
}
