//! A Gaussian bent along directions: planar flow (Rezende and Mohamed 2015, arXiv 1505.05770).
//!
//! ```text
//! z_t = z_{t-1} + u' tanh(w . z_{t-1} + b)      u' = u + (softplus(w . u) - 1 - w . u) w / |w|^2
//! ```
//!
//! The encoder outputs u, w and b of each step. Since `w . u' = softplus(w . u) - 1 > -1`, every step is
//! invertible. With h the tanh,
//!
//! ```text
//! det = 1 + (1 - h^2) w . u' = h^2 + (1 - h^2) softplus(w . u)
//! ```
//!
//! where the right side has no cancellation.

use super::gaussian::START;
use super::kind::{MOST_MOVED, PosteriorKind, Weightless, check_row};
use super::posterior::Posterior;
use super::warped::{Map, in_one_pass, warped};
use crate::fused::{RowMap, is_fused};
use crate::priors::PointShape;
use crate::problems::Problems;
use burn::tensor::Tensor;
use burn::tensor::activation::softplus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Gaussian bent along directions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Planar {
    /// Number of steps, each along its own direction.
    pub steps: usize,
}

impl Default for Planar {
    fn default() -> Self {
        Self { steps: 8 }
    }
}

/// Added to `|w|^2`, to avoid division by zero.
const LEAST_SQUARE: f64 = 1e-12;
/// ln(e - 1), where `softplus(w . u) = 1` and `w . u'` is 0: with u along w, the step is the identity.
const IDENTITY: f32 = 0.541_324_9;

impl PosteriorKind for Planar {
    fn check(&self, problems: &mut Problems) {
        problems.within("steps", self.steps, 1..=256);
    }

    fn check_shape(&self, shape: PointShape) -> Result<(), String> {
        check_row(shape, 1..=MOST_MOVED, "bends")
    }

    /// Log-variances, then u, w and b of each step.
    fn others(&self, shape: PointShape) -> usize {
        let size = shape.elements();
        size + self.steps * (2 * size + 1)
    }

    /// Every step is the identity, with w along one axis after another.
    fn start(&self, shape: PointShape) -> Vec<f32> {
        let size = shape.elements();
        let mut start = vec![START; size];
        for step in 0..self.steps {
            let axis = |length: f32| (0..size).map(move |i| length * f32::from(i == step % size));
            start.extend(axis(IDENTITY).chain(axis(1.0)).chain([0.0]));
        }
        start
    }
}

impl Weightless for Planar {
    fn posterior(
        &self,
        shape: PointShape,
        means: Tensor<2>,
        others: Option<Tensor<2>>,
    ) -> Box<dyn Posterior> {
        warped(means, others, shape, Steps)
    }
}

/// Steps of each row: u, w and b of each, [B, steps (2 M + 1)].
struct Steps(Tensor<2>);

impl Map for Steps {
    fn through(&self, z: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        if is_fused(&z) {
            return in_one_pass(z, self.0.clone(), RowMap::Planar);
        }
        let ([_, size], [_, count]) = (z.dims(), self.0.dims());
        let step = |from: usize| {
            let part = |start, length| self.0.clone().narrow(1, from + start, length);
            Step::new(part(0, size), part(size, size), part(2 * size, 1))
        };
        let steps = (0..count).step_by(2 * size + 1).map(step);
        steps.collect::<Vec<_>>().through(z)
    }
}

/// One step of each row.
struct Step {
    /// u' [B, M].
    along: Tensor<2>,
    /// w [B, M].
    direction: Tensor<2>,
    /// b [B, 1].
    offset: Tensor<2>,
    /// softplus(w . u) [B, 1].
    least: Tensor<2>,
}

impl Step {
    /// From `u` and `w` [B, M] and `b` [B, 1].
    fn new(u: Tensor<2>, w: Tensor<2>, b: Tensor<2>) -> Self {
        let product = (w.clone() * u.clone()).sum_dim(1);
        let square = w.clone().square().sum_dim(1) + LEAST_SQUARE;
        let least = softplus(product.clone(), 1.0);
        let missing = least.clone() - 1.0 - product;
        Self {
            along: u + w.clone() * (missing / square),
            direction: w,
            offset: b,
            least,
        }
    }
}

impl Map for Step {
    fn through(&self, z: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let h = (self.direction.clone() * z.clone()).sum_dim(1) + self.offset.clone();
        let h = h.tanh();
        let z = z + self.along.clone() * h.clone();
        let square = h.square();
        let determinant = square.clone() + (square.neg() + 1.0) * self.least.clone();
        (z, determinant.log())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::{from_f64, to_f64};
    use burn::tensor::{DType, Device};

    fn tensor(values: &[f64]) -> Tensor<2> {
        let dims = [1, values.len()];
        from_f64(values.to_vec(), dims, DType::F64, &Device::flex())
    }

    /// Values computed independently. Fails if u' is not kept above -1, or the determinant uses another h.
    #[test]
    fn a_step_is_the_one_of_the_paper() {
        let step = Step::new(tensor(&[-2.0, 1.0]), tensor(&[1.0, 0.5]), tensor(&[0.3]));
        let along = to_f64(step.along.clone()).unwrap();
        let (moved, log_determinant) = step.through(tensor(&[0.4, -0.7]));
        let found = [
            along,
            to_f64(moved).unwrap(),
            to_f64(log_determinant).unwrap(),
        ]
        .concat();
        let expected = [-1.438_869, 1.280_565, -0.084, -0.269_249, -1.231_782];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    /// `w . u` far below -1, where u itself would fold the plane. Fails without u'.
    #[test]
    fn a_step_keeps_the_order_of_points_along_its_direction_whatever_the_encoder_gives() {
        for u in [-1.0, -5.0, -40.0] {
            let step = Step::new(tensor(&[u]), tensor(&[1.5]), tensor(&[0.1]));
            let mut before = f64::NEG_INFINITY;
            for place in -30..=30 {
                let (moved, log_determinant) = step.through(tensor(&[0.1 * f64::from(place)]));
                let (moved, log_determinant) = (to_f64(moved).unwrap()[0], to_f64(log_determinant));
                assert!(moved > before, "{u}: {moved} after {before}");
                assert!(log_determinant.unwrap()[0].is_finite(), "{u}");
                before = moved;
            }
        }
    }
}
