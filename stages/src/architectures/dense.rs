//! Fully connected encoder and decoder.

use crate::data::DataShape;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor};

/// Linear layers with SiLU between them; the decoder mirrors the encoder.
#[derive(Module, Debug)]
pub struct Dense {
    encoder: Vec<Linear>,
    decoder: Vec<Linear>,
    channels: usize,
    height: usize,
    width: usize,
}

impl Dense {
    /// Hidden layers of `widths`, from data of `shape` to `outputs` numbers, and from `latents`
    /// numbers back.
    pub fn new(
        widths: &[usize],
        shape: DataShape,
        outputs: usize,
        latents: usize,
        device: &Device,
    ) -> Self {
        let inward = [&[shape.elements()], widths, &[outputs]].concat();
        let mut outward = [&[shape.elements()], widths, &[latents]].concat();
        outward.reverse();
        let DataShape {
            channels,
            height,
            width,
        } = shape;
        Self {
            encoder: linear_layers(&inward, device),
            decoder: linear_layers(&outward, device),
            channels,
            height,
            width,
        }
    }

    /// `data` [B, C, H, W] -> [B, outputs].
    pub fn encode(&self, data: Tensor<4>) -> Tensor<2> {
        through(&self.encoder, data.flatten(1, 3))
    }

    /// `latents` [B, latents] -> [B, C, H, W].
    pub fn decode(&self, latents: Tensor<2>) -> Tensor<4> {
        let [rows, _] = latents.dims();
        through(&self.decoder, latents).reshape([rows, self.channels, self.height, self.width])
    }
}

/// Linear layers from each of `sizes` to the next.
pub(crate) fn linear_layers(sizes: &[usize], device: &Device) -> Vec<Linear> {
    (sizes.windows(2))
        .map(|pair| LinearConfig::new(pair[0], pair[1]).init(device))
        .collect()
}

/// `x` [B, in] -> [B, out], with SiLU between the layers.
pub(crate) fn through(layers: &[Linear], mut x: Tensor<2>) -> Tensor<2> {
    for (index, layer) in layers.iter().enumerate() {
        if index > 0 {
            x = silu(x);
        }
        x = layer.forward(x);
    }
    x
}
