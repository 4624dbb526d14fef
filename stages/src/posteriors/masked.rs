//! A masked network whose outputs for a number depend on the preceding numbers only (MADE, Germain et al. 2015,
//! arXiv 1502.03509), and on a context, which all outputs see.

use crate::fused::{linear, silu};
use crate::tensors::from_f32;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

/// Masked linear layers with SiLU between them.
#[derive(Module, Debug)]
pub(super) struct Masked {
    /// From the context to the first hidden layer.
    context: Linear,
    layers: Vec<Linear>,
    /// Per layer, a mask of the weights [in, out]: 1 for used ones, 0 for others.
    #[module(skip)]
    masks: Vec<Vec<f32>>,
}

impl Masked {
    /// For rows of `size` numbers and contexts as wide as the first of the hidden `widths`, with two outputs per
    /// number.
    pub fn new(size: usize, widths: &[usize], device: &Device) -> Self {
        // how many leading numbers each unit sees, evenly spread; some see the context alone
        let of_layer = |width: usize| (0..width).map(|unit| unit * size / width).collect();
        let hidden = widths.iter().map(|&width| of_layer(width));
        let units: Vec<Vec<usize>> = hidden.collect();
        let outputs: Vec<usize> = (0..size).chain(0..size).collect();

        let mut masks = vec![mask(size, &units[0], |number, sees| number < sees)];
        let after = units.iter().skip(1).chain([&outputs]);
        for (before, after) in units.iter().zip(after) {
            masks.push(mask(before.len(), after, |unit, sees| before[unit] <= sees));
        }
        let sizes = [&[size], widths, &[2 * size]].concat();
        let layer = |pair: &[usize]| LinearConfig::new(pair[0], pair[1]).init(device);
        Self {
            context: LinearConfig::new(widths[0], widths[0])
                .with_bias(false)
                .init(device),
            layers: sizes.windows(2).map(layer).collect(),
            masks,
        }
    }

    /// The first output of each number of `z` [B, M], then the second of each, [B, 2 M], given `context` [B, C].
    pub fn forward(&self, z: Tensor<2>, context: Tensor<2>) -> Tensor<2> {
        let mut x = z;
        for (number, (layer, mask)) in self.layers.iter().zip(&self.masks).enumerate() {
            let weight = layer.weight.val();
            let mask = from_f32(mask.clone(), weight.dims(), &weight.device()).cast(weight.dtype());
            let bias = layer.bias.as_ref().expect("made with one").val();
            x = match number {
                0 => x,
                _ => silu(x),
            };
            x = linear(x, weight * mask, bias.clone());
            if number == 0 {
                let weight = self.context.weight.val();
                x = x + linear(context.clone(), weight, bias.detach().zeros_like());
            }
        }
        x
    }
}

/// The mask from `count` inputs to units that see the first `after` numbers: 1 where the unit may see the input.
fn mask(count: usize, after: &[usize], may_see: impl Fn(usize, usize) -> bool) -> Vec<f32> {
    let rows = (0..count).flat_map(|input| after.iter().map(move |&sees| (input, sees)));
    rows.map(|(input, sees)| f32::from(may_see(input, sees)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;
    use crate::tensors::to_f32;
    use crate::training::{initialise, perturb};

    const SIZE: usize = 5;

    /// Fails if a mask passes a later number or blocks an earlier one, or if fewer hidden units than numbers leave
    /// some unseen.
    #[test]
    fn each_output_sees_every_number_before_its_own_and_no_other_and_all_see_the_context() {
        let device = Device::flex();
        for widths in [vec![7], vec![12, 10], vec![5, 5, 5]] {
            let network = Masked::new(SIZE, &widths, &device);
            let network = perturb(initialise(network, Streams::new(1)), 0.3, Streams::new(2));
            let numbers = Streams::new(3).normal("numbers", 0, SIZE);
            let context = Streams::new(3).normal("context", 0, widths[0]);
            let outputs = |numbers: &[f32], context: &[f32]| {
                let row = |v: &[f32]| from_f32::<2>(v.to_vec(), [1, v.len()], &device);
                let found = network.forward(row(numbers), row(context));
                let found = to_f32(found).unwrap();
                [0, SIZE].map(|from| found[from..from + SIZE].to_vec())
            };
            let before = outputs(&numbers, &context);
            let changed = |after: [Vec<f32>; 2]| {
                let of = |which: usize| {
                    let pairs = after[which].iter().zip(&before[which]);
                    pairs.map(|(a, b)| a != b).collect::<Vec<bool>>()
                };
                [of(0), of(1)]
            };
            for number in 0..SIZE {
                let mut moved = numbers.clone();
                moved[number] += 1.0;
                let after: Vec<bool> = (0..SIZE).map(|output| output > number).collect();
                let found = changed(outputs(&moved, &context));
                assert_eq!(found, [after.clone(), after], "{widths:?}, number {number}");
            }
            let mut moved = context.clone();
            moved[0] += 1.0;
            let found = changed(outputs(&numbers, &moved));
            assert_eq!(found, [vec![true; SIZE], vec![true; SIZE]], "{widths:?}");
        }
    }
}
