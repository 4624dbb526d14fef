//! A coupling flow over whole points, optionally conditional (RealNVP, Dinh et al. 2017, arXiv 1605.08803; with
//! splines, Durkan et al. 2019, arXiv 1906.04032).
//!
//! It is a chain of bijections: a point x passes through f_1, f_2, ... f_K to noise z. With N the standard normal
//! density,
//!
//! ```text
//! z = f_K(... f_2(f_1(x)))          log p(x) = log N(z) + sum over k of log |det d f_k|
//! ```
//!
//! The first bijection is an elementwise affine map. Each of the others, a layer, keeps half of the T d elements
//! and transforms the rest elementwise with parameters computed from that half and the condition c, so its
//! log-determinant is a sum over the moved elements:
//!
//! ```text
//! affine      shift, raw = MLP(kept, c)     s = bound tanh(raw / bound)      y = x exp(s) + shift      log dy/dx = s
//! splines     numbers = MLP(kept, c)        y = spline(x)
//! ```
//!
//! Layers come in pairs with complementary halves; each pair has its own halves. The inverse has the same accuracy
//! and cost.

mod layer;
mod spline;
mod transform;

use self::layer::Layer;
use self::spline::Splines;
use self::transform::Transform;
use super::bijection::{Bijection, Under, fit_bijection, load_bijection};
use super::condition::{ConditionKind, columns_of};
use super::drawing::{Carried, Way, Ways};
use super::kind::{Fit, Fitted, PriorConfig};
use super::prior::{Placement, PointShape, Points, Prior, Progress};
use crate::context::Context;
use crate::error::Result;
use crate::problems::Problems;
use crate::random::Streams;
use crate::training::initialise_with_biases;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A coupling flow (RealNVP, neural spline flow) over whole points: exact likelihoods, samples in one pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Coupling {
    /// Number of coupling layers; even, since they come in pairs.
    pub layers: usize,
    /// Width of the hidden layers of each layer's network.
    pub width: usize,
    /// Hidden layers of each layer's network.
    pub depth: usize,
    /// Transform elements by splines instead of affine maps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splines: Option<Splines>,
}

impl Default for Coupling {
    fn default() -> Self {
        Self {
            layers: 8,
            width: 128,
            depth: 2,
            splines: None,
        }
    }
}

/// The flow's weights.
#[derive(Module, Debug)]
pub(super) struct Network {
    /// Parameters of the elementwise map `x exp(log_scale) + shift`, each [1, D].
    log_scale: Param<Tensor<2>>,
    shift: Param<Tensor<2>>,
    layers: Vec<Layer>,
    #[module(skip)]
    transform: Transform,
}

impl Coupling {
    /// Small configurations with either transform, for tests.
    pub(super) fn examples() -> [Self; 2] {
        let splines = Splines {
            bins: 6,
            bound: 4.0,
        };
        [None, Some(splines)].map(|splines| Self {
            layers: 4,
            width: 16,
            depth: 1,
            splines,
        })
    }

    fn transform(&self) -> Transform {
        self.splines.map_or(Transform::Affine, Transform::Spline)
    }

    fn init(
        &self,
        shape: PointShape,
        columns: usize,
        streams: Streams,
        device: &Device,
    ) -> Network {
        let elements = shape.elements();
        let layer = |number: usize| {
            let (inputs, sizes) = ((elements, columns), (self.width, self.depth));
            Layer::new(number, inputs, sizes, self.transform(), device)
        };
        let zeros = || Param::from_tensor(Tensor::zeros([1, elements], device));
        let network = Network {
            log_scale: zeros(),
            shift: zeros(),
            layers: (0..self.layers).map(layer).collect(),
            transform: self.transform(),
        };
        let mut network = initialise_with_biases(network, streams);
        network.log_scale = zeros();
        network.shift = zeros();
        for layer in &mut network.layers {
            layer.start();
        }
        network.set_require_grad(true)
    }
}

/// Maximum number of elements that a layer holds, except for very wide points.
const HELD: usize = 1 << 25;

impl Bijection for Network {
    fn to_noise(&self, points: &Points) -> (Tensor<2>, Tensor<2>) {
        let x = points.rows();
        let [n, _] = x.dims();
        let condition = points.condition.as_ref().map(|c| c.clone().cast(x.dtype()));
        let log_scale = self.log_scale.val();
        let mut log_det = log_scale.clone().sum_dim(1).repeat_dim(0, n);
        let mut x = x * log_scale.exp() + self.shift.val();
        for layer in &self.layers {
            let (carried, of_layer) = layer.to_noise(x, condition.as_ref(), self.transform);
            (x, log_det) = (carried, log_det + of_layer);
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
            layer.from_noise(y, condition.as_ref(), self.transform)
        });
        let x = (x - self.shift.val()) * self.log_scale.val().neg().exp();
        Ok(Carried {
            points: x.reshape(dims),
            evaluations: Vec::new(),
        })
    }

    fn chunk(&self, shape: PointShape) -> usize {
        match self.transform {
            Transform::Affine => 8192,
            // a layer holds about ten numbers per piece and moved element
            Transform::Spline(splines) => {
                let each = 5 * splines.numbers() * shape.elements();
                (HELD / each).clamp(16, 8192)
            }
        }
    }
}

/// Supported ways of sampling.
const WAYS: Ways = Ways::plain("coupling");

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
        if let Some(splines) = &self.splines {
            problems.section("splines", |problems| splines.check(problems));
        }
    }

    fn conditional(&self) -> bool {
        true
    }

    fn check_shape(&self, shape: PointShape) -> Result<(), String> {
        match shape.elements() {
            1 => Err("points of at least 2 numbers, since one half transforms the other".into()),
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
        let numbers = self.transform().numbers() as u128;
        // sizes of kept and moved elements, swapped in the other layer of a pair
        let [less, more] = [elements / 2, elements.div_ceil(2)];
        let layer = |keeps: u128, moves: u128| {
            let hidden = (keeps + columns + 1) * width + (depth - 1) * (width + 1) * width;
            hidden + (width + 1) * numbers * moves
        };
        2 * elements + (layers / 2).saturating_mul(layer(less, more) + layer(more, less))
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
    fn it_says_how_many_parameters_it_has() {
        let shape = PointShape {
            tokens: 3,
            width: 3,
        };
        let kind = ConditionKind::Labels { classes: 4 };
        for splines in [None, Some(Splines::default())] {
            let config = Coupling {
                layers: 4,
                width: 10,
                depth: 3,
                splines,
            };
            for condition in [None, Some(kind)] {
                let columns = columns_of(condition);
                let network = config.init(shape, columns, Streams::new(0), &Device::flex());
                let said = config.parameters(shape, condition);
                assert_eq!(network.num_params() as u128, said);
            }
        }
    }
}
