//! A Gaussian with reflected axes: Householder flow (Tomczak and Welling 2016, arXiv 1611.09630).
//!
//! A draw of a diagonal Gaussian is reflected several times: first along a vector given by the encoder, then
//! along a linear function of the previous vector:
//!
//! ```text
//! z_t = z_{t-1} - 2 v_t (v_t . z_{t-1}) / |v_t|^2      v_{t+1} = W_t v_t + b_t
//! ```
//!
//! so that `|det| = 1`, and `log q(z|x)` is that of `z_0`. M - 1 reflections for M numbers per row reach every
//! covariance. N(0, I) is rotation-invariant, so the divergence from it is that of `z_0` too; only a decoder or
//! another prior is sensitive to the rotation.

use super::gaussian::{Diagonal, START};
use super::kind::{self, MOST_MOVED, PosteriorKind, check_row, tokens};
use super::posterior::{Draw, Posterior};
use crate::fused::{RowMap, is_fused, linear_layer, row_map};
use crate::priors::PointShape;
use crate::problems::Problems;
use crate::random::Streams;
use crate::training::initialise;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Gaussian with reflected axes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Householder {
    /// Number of reflections.
    pub steps: usize,
}

impl Default for Householder {
    fn default() -> Self {
        Self { steps: 4 }
    }
}

/// Added to `|v|^2`, so that a zero vector does not reflect.
const LEAST_SQUARE: f64 = 1e-12;

impl PosteriorKind for Householder {
    fn check(&self, problems: &mut Problems) {
        problems.within("steps", self.steps, 1..=256);
    }

    fn check_shape(&self, shape: PointShape) -> Result<(), String> {
        check_row(shape, 2..=MOST_MOVED, "turns together")
    }

    /// Log-variances, then the first vector.
    fn others(&self, shape: PointShape) -> usize {
        2 * shape.elements()
    }

    /// The diagonal, since a zero vector does not reflect.
    fn start(&self, shape: PointShape) -> Vec<f32> {
        let of_each = |value| vec![value; shape.elements()];
        [of_each(START), of_each(1.0)].concat()
    }
}

/// Linear layers from one vector to the next.
#[derive(Module, Debug)]
pub struct Head {
    next: Vec<Linear>,
    #[module(skip)]
    shape: PointShape,
}

impl Head {
    /// For the latents of a row, initialised from `streams`.
    pub fn new(config: &Householder, shape: PointShape, streams: Streams, device: &Device) -> Self {
        let size = shape.elements();
        let layer = |_| LinearConfig::new(size, size).init(device);
        let next = (1..config.steps).map(layer).collect();
        initialise(Self { next, shape }, streams)
    }
}

impl kind::Head for Head {
    fn posterior(&self, means: Tensor<2>, others: Option<Tensor<2>>) -> Box<dyn Posterior> {
        let others = others.expect("twice as many others as means");
        let size = self.shape.elements();
        let mut vectors = vec![others.clone().narrow(1, size, size)];
        for layer in &self.next {
            let last = vectors.last().expect("the first").clone();
            vectors.push(linear_layer(layer, last));
        }
        Box::new(Turned {
            base: Diagonal::of_rows(means, &others),
            vectors,
            shape: self.shape,
        })
    }
}

/// `N(H mean, H diag(variance) H^T)` per row, with H the product of its reflections.
struct Turned {
    /// Distribution of z_0, [B, M].
    base: Diagonal,
    /// Vectors of the reflections, each [B, M].
    vectors: Vec<Tensor<2>>,
    shape: PointShape,
}

impl Turned {
    /// Reflects each row of `z` [B, M] by its vectors; returns tokens [B T, d].
    fn reflected(&self, z: Tensor<2>) -> Tensor<2> {
        if is_fused(&z) {
            let vectors = Tensor::cat(self.vectors.clone(), 1);
            return tokens(row_map(z, vectors, RowMap::Reflection), self.shape);
        }
        let z = self.vectors.iter().fold(z, |z, v| {
            let along = (v.clone() * z.clone()).sum_dim(1);
            let square = v.clone().square().sum_dim(1) + LEAST_SQUARE;
            z - v.clone() * (along / square).mul_scalar(2.0)
        });
        tokens(z, self.shape)
    }
}

impl Posterior for Turned {
    fn centre(&self) -> Tensor<2> {
        self.reflected(self.base.mean.clone())
    }

    fn draw(&self, rng: &mut Pcg64) -> Draw {
        let (start, base) = (self.base.sample(rng), self.base.clone());
        let latents = self.reflected(start.clone());
        Draw::new(latents, move || base.log_density_of(start.clone()))
    }

    /// That of z_0, since the determinant is 1.
    fn entropy(&self) -> Option<Tensor<2>> {
        self.base.entropy()
    }

    /// That of z_0, since N(0, I) is invariant under reflections.
    fn kl_to_normal(&self) -> Option<Tensor<2>> {
        self.base.kl_to_normal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posteriors::kind::Head as _;
    use crate::tensors::{from_f64, to_f64};
    use burn::tensor::DType;

    /// The value of the reflection of (1, 0) along (3, 4).
    #[test]
    fn a_reflection_is_along_its_vector() {
        let device = Device::flex();
        let shape = PointShape {
            tokens: 1,
            width: 2,
        };
        let head = Head::new(&Householder { steps: 1 }, shape, Streams::new(0), &device);
        let tensor = |values: Vec<f64>| {
            let dims = [1, values.len()];
            from_f64(values, dims, DType::F64, &device)
        };
        let others = tensor(vec![0.0, 0.0, 3.0, 4.0]);
        let posterior = head.posterior(tensor(vec![1.0, 0.0]), Some(others));
        let found = to_f64(posterior.centre()).unwrap();
        assert!((found[0] - 0.28).abs() < 1e-9, "{found:?}");
        assert!((found[1] + 0.96).abs() < 1e-9, "{found:?}");
    }
}
