//! A coupling layer: half of the elements stay and determine how the others move.

use super::transform::Transform;
use crate::random::Streams;
use crate::tensors::indices;
use crate::training::zero;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor};
use rand::RngExt;

/// The weights of a layer.
#[derive(Module, Debug)]
pub(super) struct Layer {
    hidden: Vec<Linear>,
    /// Outputs the transforms' parameters: first parameters of all moved elements, then second ones, and so on.
    last: Linear,
    /// Which elements are kept, `[D]`.
    #[module(skip)]
    kept: Vec<bool>,
}

impl Layer {
    /// Layer `number` over `elements` elements and `columns` condition columns, with `depth` hidden layers of
    /// `width`.
    pub fn new(
        number: usize,
        (elements, columns): (usize, usize),
        (width, depth): (usize, usize),
        transform: Transform,
        device: &Device,
    ) -> Self {
        let kept = kept_by(number, elements);
        let keeps = kept.iter().filter(|&&kept| kept).count();
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        let sizes = [&[keeps + columns][..], &vec![width; depth]].concat();
        let hidden = sizes.windows(2).map(|size| linear(size[0], size[1]));
        Self {
            hidden: hidden.collect(),
            last: linear(width, transform.numbers() * (elements - keeps)),
            kept,
        }
    }

    /// Initialises the layer to the identity.
    pub fn start(&mut self) {
        zero(&mut self.last);
    }

    /// Maps points `x` [n, D] towards noise; also returns `log |det|` [n, 1].
    pub fn to_noise(
        &self,
        x: Tensor<2>,
        condition: Option<&Tensor<2>>,
        transform: Transform,
    ) -> (Tensor<2>, Tensor<2>) {
        let [kept, moved] = self.parted(x);
        let raw = self.read(&kept, condition, transform);
        let (moved, log_slope) = transform.forward(moved, raw);
        (self.joined(kept, moved), log_slope.sum_dim(1))
    }

    /// The inverse of [`Self::to_noise`].
    #[allow(clippy::wrong_self_convention)] // `self` is the layer, not a conversion's result
    pub fn from_noise(
        &self,
        y: Tensor<2>,
        condition: Option<&Tensor<2>>,
        transform: Transform,
    ) -> Tensor<2> {
        let [kept, moved] = self.parted(y);
        let raw = self.read(&kept, condition, transform);
        let moved = transform.inverse(moved, raw);
        self.joined(kept, moved)
    }

    /// Kept and moved elements of `x` [n, D].
    fn parted(&self, x: Tensor<2>) -> [Tensor<2>; 2] {
        [true, false].map(|keep| {
            let places = (0..self.kept.len()).filter(|&i| self.kept[i] == keep);
            x.clone().select(1, indices(places, &x.device()))
        })
    }

    /// Inverse of [`Self::parted`].
    fn joined(&self, kept: Tensor<2>, moved: Tensor<2>) -> Tensor<2> {
        let (mut of_kept, mut of_moved) = (0.., kept.dims()[1]..);
        let places = self.kept.iter().map(|&kept| match kept {
            true => of_kept.next().expect("unbounded"),
            false => of_moved.next().expect("unbounded"),
        });
        let places = indices(places, &kept.device());
        Tensor::cat(vec![kept, moved], 1).select(1, places)
    }

    /// The parameters of the moved elements' transforms, [n, numbers, moved].
    fn read(
        &self,
        kept: &Tensor<2>,
        condition: Option<&Tensor<2>>,
        transform: Transform,
    ) -> Tensor<3> {
        let seen = match condition {
            Some(condition) => Tensor::cat(vec![kept.clone(), condition.clone()], 1),
            None => kept.clone(),
        };
        let hidden = (self.hidden.iter()).fold(seen, |h, layer| silu(layer.forward(h)));
        let [n, _] = hidden.dims();
        let moved = self.kept.iter().filter(|&&kept| !kept).count();
        (self.last.forward(hidden)).reshape([n, transform.numbers(), moved])
    }
}

/// Which of `elements` the layer keeps: a random half, deterministic in the layer's number. An odd layer keeps
/// what the even one before it moves.
fn kept_by(layer: usize, elements: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..elements).collect();
    let mut rng = Streams::new(0).at("halves of a coupling", (layer / 2) as u64);
    for last in (1..elements).rev() {
        order.swap(last, rng.random_range(0..=last));
    }
    let even = layer.is_multiple_of(2);
    let mut kept = vec![!even; elements];
    for &element in &order[..elements / 2] {
        kept[element] = even;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_in_pairs_move_what_the_other_keeps_and_pairs_differ() {
        for elements in [2, 3, 16] {
            for pair in 0..4 {
                let (even, odd) = (kept_by(2 * pair, elements), kept_by(2 * pair + 1, elements));
                assert!(even.iter().zip(&odd).all(|(a, b)| a != b));
                assert_eq!(even.iter().filter(|&&kept| kept).count(), elements / 2);
            }
        }
        assert_ne!(kept_by(0, 16), kept_by(2, 16));
    }
}
