//! An affine coupling flow over whole points, conditional where conditions are given (RealNVP, Dinh et al.
//! 2017, arXiv 1605.08803).
//!
//! A layer leaves half of the T d elements as they are and moves the others by what it reads from that half
//! and from the condition c:
//!
//! ```text
//! shift, raw = MLP(kept x, c)          s = bound tanh(raw / bound)
//! y = kept x + moved (x exp(s) + shift)               log |det dy / dx| = sum over moved of s
//! ```
//!
//! Layers come in pairs whose halves are complementary, each pair with halves of its own; an elementwise
//! affine map stands before the first. Points go through it to noise; the inverse is as exact and as quick.

use super::bijection::{Bijection, Under, fit_bijection, load_bijection};
use super::condition::{ConditionKind, columns_of};
use super::drawing::{Carried, Way, Ways};
use super::kind::{Fit, Fitted, Offers, PriorConfig};
use super::prior::{Placement, PointShape, Points, Prior, Progress};
use crate::context::Context;
use crate::error::Result;
use crate::problems::Problems;
use crate::random::Streams;
use crate::tensors::from_f32;
use crate::training::initialise;
use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// An affine coupling flow (RealNVP) over whole points: exact likelihoods, samples in one pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Coupling {
    /// Coupling layers; even, since they come in pairs.
    pub layers: usize,
    /// Width of the hidden layers of each layer's network.
    pub width: usize,
    /// Hidden layers of each layer's network.
    pub depth: usize,
}

impl Default for Coupling {
    fn default() -> Self {
        Self {
            layers: 8,
            width: 128,
            depth: 2,
        }
    }
}

/// The largest logarithm of a layer's scale.
const BOUND: f64 = 2.0;

/// The flow's weights.
#[derive(Module, Debug)]
pub(super) struct Network {
    /// Of the elementwise map: `x exp(log_scale) + shift`, each [1, D].
    log_scale: Param<Tensor<2>>,
    shift: Param<Tensor<2>>,
    layers: Vec<Layer>,
}

/// One coupling layer.
#[derive(Module, Debug)]
struct Layer {
    hidden: Vec<Linear>,
    shift: Linear,
    raw: Linear,
    /// Which elements it keeps, `[D]`.
    #[module(skip)]
    kept: Vec<bool>,
}

impl Coupling {
    fn init(
        &self,
        shape: PointShape,
        columns: usize,
        streams: Streams,
        device: &Device,
    ) -> Network {
        let elements = shape.elements();
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        let layer = |number: usize| {
            let mut inputs = elements + columns;
            let hidden = (0..self.depth).map(|_| {
                let layer = linear(inputs, self.width);
                inputs = self.width;
                layer
            });
            Layer {
                hidden: hidden.collect(),
                shift: linear(self.width, elements),
                raw: linear(self.width, elements),
                kept: kept_by(number, elements),
            }
        };
        let zeros = || Param::from_tensor(Tensor::zeros([1, elements], device));
        let network = Network {
            log_scale: zeros(),
            shift: zeros(),
            layers: (0..self.layers).map(layer).collect(),
        };
        let mut network = initialise(network, streams);
        network.log_scale = zeros();
        network.shift = zeros();
        for layer in &mut network.layers {
            // every layer starts as the identity
            for last in [&mut layer.shift, &mut layer.raw] {
                last.weight = last.weight.clone().map(|weight| weight.zeros_like());
            }
        }
        network.set_require_grad(true)
    }
}

/// Which of `elements` the layer of this number keeps: half of them at random, the same whenever it is asked;
/// an odd layer keeps what the even one before it moves.
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

impl Layer {
    /// Shift and log-scale of the moved elements, zero at the kept ones, each [n, D].
    fn read(&self, x: &Tensor<2>, condition: Option<&Tensor<2>>) -> [Tensor<2>; 2] {
        let device = x.device();
        let elements = self.kept.len();
        let mask = |keep: bool| {
            let values = self
                .kept
                .iter()
                .map(|&kept| f32::from(u8::from(kept == keep)));
            from_f32::<2>(values.collect(), [1, elements], &device).cast(x.dtype())
        };
        let moved = mask(false);
        let seen = x.clone() * mask(true);
        let seen = match condition {
            Some(condition) => Tensor::cat(vec![seen, condition.clone()], 1),
            None => seen,
        };
        let hidden = (self.hidden.iter()).fold(seen, |h, layer| silu(layer.forward(h)));
        let raw = self.raw.forward(hidden.clone());
        let log_scale = raw.div_scalar(BOUND).tanh().mul_scalar(BOUND) * moved.clone();
        [self.shift.forward(hidden) * moved, log_scale]
    }
}

impl Bijection for Network {
    fn to_noise(&self, points: &Points) -> (Tensor<2>, Tensor<2>) {
        let x = points.rows();
        let [n, _] = x.dims();
        let condition = points.condition.as_ref().map(|c| c.clone().cast(x.dtype()));
        let log_scale = self.log_scale.val();
        let mut log_det = log_scale.clone().sum_dim(1).repeat_dim(0, n);
        let mut x = x * log_scale.exp() + self.shift.val();
        for layer in &self.layers {
            let [shift, log_scale] = layer.read(&x, condition.as_ref());
            log_det = log_det + log_scale.clone().sum_dim(1);
            // kept elements have neither shift nor scale
            x = x * log_scale.exp() + shift;
        }
        (x, log_det)
    }

    fn from_noise(
        &self,
        noise: Tensor<3>,
        under: Under,
        _: &Way,
        progress: Progress,
    ) -> Result<Carried> {
        progress(0.0)?;
        let dims = noise.dims();
        let condition = under.condition.map(|c| c.cast(noise.dtype()));
        let x = (self.layers.iter().rev()).fold(noise.flatten(1, 2), |y, layer| {
            let [shift, log_scale] = layer.read(&y, condition.as_ref());
            (y - shift) * log_scale.neg().exp()
        });
        let x = (x - self.shift.val()) * self.log_scale.val().neg().exp();
        Ok(Carried {
            points: x.reshape(dims),
            evaluations: 0.0,
        })
    }

    fn chunk(&self, _: PointShape) -> usize {
        8192
    }
}

/// What it can do on the way from noise to points.
const WAYS: Ways = Ways {
    kind: "coupling",
    stepped: false,
    guided: false,
    sequential: false,
};

impl PriorConfig for Coupling {
    fn check(&self, problems: &mut Problems) {
        problems.require(
            (2..=256).contains(&self.layers) && self.layers.is_multiple_of(2),
            "layers",
            self.layers,
            "an even number, 2 to 256",
        );
        problems.within("width", self.width, 1..=16_384);
        problems.within("depth", self.depth, 1..=64);
    }

    fn offers(&self) -> Offers {
        Offers::Density
    }

    fn conditional(&self) -> bool {
        true
    }

    fn check_shape(&self, shape: PointShape) -> Result<(), String> {
        match shape.elements() {
            1 => Err("points of at least 2 numbers, of which one half moves the other".into()),
            _ => Ok(()),
        }
    }

    fn ways(&self) -> Ways {
        WAYS
    }

    fn parameters(&self, shape: PointShape, condition: Option<ConditionKind>) -> u128 {
        let [elements, width, depth, layers] =
            [shape.elements(), self.width, self.depth, self.layers].map(|n| n as u128);
        let columns = condition.map_or(0, |kind| kind.columns() as u128);
        let hidden = (elements + columns + 1) * width + (depth - 1) * (width + 1) * width;
        2 * elements + layers.saturating_mul(hidden + 2 * (width + 1) * elements)
    }

    fn fit(&self, fit: Fit, context: &Context) -> Result<Fitted> {
        let columns = columns_of(fit.condition);
        let device = context.device.clone().autodiff();
        let network = self.init(fit.shape, columns, fit.streams, &device);
        fit_bijection(network, WAYS, fit, context)
    }

    fn load(
        &self,
        path: &Path,
        shape: PointShape,
        condition: Option<ConditionKind>,
        place: &Placement,
    ) -> Result<Box<dyn Prior>> {
        let columns = columns_of(condition);
        let network = self.init(shape, columns, Streams::new(0), &place.weights_device());
        load_bijection(network, WAYS, path, (shape, condition), place)
    }
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

    #[test]
    fn it_says_how_many_parameters_it_has() {
        let shape = PointShape {
            tokens: 3,
            width: 2,
        };
        let kind = ConditionKind::Labels { classes: 4 };
        let config = Coupling {
            layers: 4,
            width: 10,
            depth: 3,
        };
        for condition in [None, Some(kind)] {
            let columns = columns_of(condition);
            let network = config.init(shape, columns, Streams::new(0), &Device::flex());
            let said = config.parameters(shape, condition);
            assert_eq!(network.num_params() as u128, said);
        }
    }
}
