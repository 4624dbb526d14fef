//! Fully connected encoder and decoder.

use crate::data::DataShape;
use crate::fused::{gated, linear_layer, linear_silu_layer};
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

/// Linear layers with SiLU or gates between them; the decoder mirrors the encoder.
#[derive(Module, Debug)]
pub struct Dense {
    encoder: Vec<Linear>,
    decoder: Vec<Linear>,
    /// Gates of each hidden layer of encoder and decoder, if enabled.
    gates: Option<Gates>,
    channels: usize,
    height: usize,
    width: usize,
}

impl Dense {
    /// Hidden layers of `widths`, `gated` or not, from data of `shape` to `outputs` numbers, and from `latents`
    /// numbers back.
    pub fn new(
        widths: &[usize],
        gated: bool,
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
            gates: gated.then(|| {
                let of_hidden = |sizes: &[usize]| linear_layers(&sizes[..sizes.len() - 1], device);
                Gates {
                    encoder: of_hidden(&inward),
                    decoder: of_hidden(&outward),
                }
            }),
            channels,
            height,
            width,
        }
    }

    /// `data` [B, C, H, W] -> [B, outputs].
    pub fn encode(&self, data: Tensor<4>) -> Tensor<2> {
        let data = data.flatten(1, 3);
        match &self.gates {
            Some(gates) => through_gates(&self.encoder, &gates.encoder, data),
            None => through(&self.encoder, data),
        }
    }

    /// `latents` [B, latents] -> [B, C, H, W].
    pub fn decode(&self, latents: Tensor<2>) -> Tensor<4> {
        let [rows, _] = latents.dims();
        let data = match &self.gates {
            Some(gates) => through_gates(&self.decoder, &gates.decoder, latents),
            None => through(&self.decoder, latents),
        };
        data.reshape([rows, self.channels, self.height, self.width])
    }
}

#[cfg(test)]
impl Dense {
    /// The layers of encoder and decoder.
    pub fn layers(&self) -> impl Iterator<Item = &Linear> {
        self.encoder.iter().chain(&self.decoder)
    }
}

/// Linear layers whose sigmoid multiplies the hidden layers.
#[derive(Module, Debug)]
struct Gates {
    encoder: Vec<Linear>,
    decoder: Vec<Linear>,
}

/// Linear layers from each of `sizes` to the next.
pub(crate) fn linear_layers(sizes: &[usize], device: &Device) -> Vec<Linear> {
    (sizes.windows(2))
        .map(|pair| LinearConfig::new(pair[0], pair[1]).init(device))
        .collect()
}

/// `x` [B, in] -> [B, out], with SiLU between the layers.
pub(crate) fn through(layers: &[Linear], mut x: Tensor<2>) -> Tensor<2> {
    let (last, hidden) = layers.split_last().expect("one layer at least");
    for layer in hidden {
        x = linear_silu_layer(layer, x);
    }
    linear_layer(last, x)
}

/// `x` [B, in] -> [B, out] through `layers`; every layer but the last is multiplied by the sigmoid of its gate.
fn through_gates(layers: &[Linear], gates: &[Linear], mut x: Tensor<2>) -> Tensor<2> {
    for (layer, gate) in layers.iter().zip(gates) {
        x = gated(linear_layer(layer, x.clone()), linear_layer(gate, x));
    }
    linear_layer(&layers[gates.len()], x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;
    use crate::tensors::{from_f32, to_f32};
    use crate::training::{initialise, perturb};

    const SHAPE: DataShape = DataShape {
        channels: 3,
        height: 1,
        width: 1,
    };

    fn row(values: &[f32]) -> Tensor<2> {
        from_f32(values.to_vec(), [1, values.len()], &Device::flex())
    }

    /// Fails if a layer uses another's gate, the gate is not a sigmoid, or the last layer is gated too.
    #[test]
    fn gated_hidden_layers_are_products_of_two_matrices_one_through_a_sigmoid() {
        let device = Device::flex();
        let net = Dense::new(&[4, 5], true, SHAPE, 2, 2, &device);
        let net = perturb(initialise(net, Streams::new(1)), 0.3, Streams::new(2));
        let of = |layer: &Linear, x: &[f64]| {
            let weight = to_f32(layer.weight.val()).unwrap();
            let bias = to_f32(layer.bias.as_ref().unwrap().val()).unwrap();
            let outputs = bias.len();
            (0..outputs)
                .map(|j| {
                    let column = x.iter().enumerate();
                    let sum = column.map(|(i, x)| x * f64::from(weight[i * outputs + j]));
                    f64::from(bias[j]) + sum.sum::<f64>()
                })
                .collect::<Vec<f64>>()
        };
        let gates = net.gates.as_ref().unwrap();
        let by_hand = |layers: &[Linear], gates: &[Linear], input: &[f32]| {
            let mut x: Vec<f64> = input.iter().map(|x| f64::from(*x)).collect();
            for (layer, gate) in layers[..2].iter().zip(gates) {
                let (value, gate) = (of(layer, &x), of(gate, &x));
                let gated = value.iter().zip(gate).map(|(v, g)| v / (1.0 + (-g).exp()));
                x = gated.collect();
            }
            of(&layers[2], &x)
        };
        let (data, latents) = ([0.3, -0.8, 1.1], [0.7, -0.4]);
        let encoded = to_f32(net.encode(row(&data).reshape([1, 3, 1, 1]))).unwrap();
        let decoded = to_f32(net.decode(row(&latents))).unwrap();
        for (found, expected) in [
            (encoded, by_hand(&net.encoder, &gates.encoder, &data)),
            (decoded, by_hand(&net.decoder, &gates.decoder, &latents)),
        ] {
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (f64::from(*found) - expected).abs() < 1e-5,
                    "{found} {expected}"
                );
            }
        }
    }
}
