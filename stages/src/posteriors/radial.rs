//! A Gaussian expanded around points or contracted towards them: radial flow (Rezende and Mohamed 2015, arXiv
//! 1505.05770).
//!
//! ```text
//! z_t = z_{t-1} + beta h (z_{t-1} - c)      h = 1 / (alpha + r)      r = |z_{t-1} - c|
//! alpha = softplus(a)      beta = softplus(b) - alpha
//! ```
//!
//! The encoder outputs c, a and b of each step. Since `beta > -alpha` and alpha is positive, every step is
//! invertible, and
//!
//! ```text
//! det = (1 + beta h)^(M - 1) (1 + beta h - beta h^2 r)
//!     = ((r + softplus(b)) / (alpha + r))^(M - 1) (r^2 + 2 alpha r + alpha softplus(b)) / (alpha + r)^2
//! ```
//!
//! where the lower line has no cancellation.

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

/// A Gaussian expanded around points or contracted towards them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Radial {
    /// Number of steps, each around its own point.
    pub steps: usize,
}

impl Default for Radial {
    fn default() -> Self {
        Self { steps: 8 }
    }
}

/// Added to `r^2`, since the square root has no derivative at 0.
const LEAST_SQUARE: f64 = 1e-12;

impl PosteriorKind for Radial {
    fn check(&self, problems: &mut Problems) {
        problems.within("steps", self.steps, 1..=256);
    }

    fn check_shape(&self, shape: PointShape) -> Result<(), String> {
        check_row(shape, 1..=MOST_MOVED, "moves")
    }

    /// Log-variances, then c, a and b of each step.
    fn others(&self, shape: PointShape) -> usize {
        let size = shape.elements();
        size + self.steps * (size + 2)
    }

    /// Every step is the identity, with c on one axis after another.
    fn start(&self, shape: PointShape) -> Vec<f32> {
        let size = shape.elements();
        let mut start = vec![START; size];
        for step in 0..self.steps {
            start.extend((0..size).map(|i| f32::from(i == step % size)));
            start.extend([0.0, 0.0]); // beta = 0
        }
        start
    }
}

impl Weightless for Radial {
    fn posterior(
        &self,
        shape: PointShape,
        means: Tensor<2>,
        others: Option<Tensor<2>>,
    ) -> Box<dyn Posterior> {
        warped(means, others, shape, Steps)
    }
}

/// Steps of each row: c, a and b of each, [B, steps (M + 2)].
struct Steps(Tensor<2>);

impl Map for Steps {
    fn through(&self, z: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        if is_fused(&z) {
            return in_one_pass(z, self.0.clone(), RowMap::Radial);
        }
        let ([_, size], [_, count]) = (z.dims(), self.0.dims());
        let step = |from: usize| {
            let part = |start, length| self.0.clone().narrow(1, from + start, length);
            Step {
                centre: part(0, size),
                alpha: softplus(part(size, 1), 1.0),
                least: softplus(part(size + 1, 1), 1.0),
            }
        };
        let steps = (0..count).step_by(size + 2).map(step);
        steps.collect::<Vec<_>>().through(z)
    }
}

/// One step of each row.
struct Step {
    /// c [B, M].
    centre: Tensor<2>,
    /// alpha [B, 1].
    alpha: Tensor<2>,
    /// softplus(b) [B, 1], which equals alpha + beta.
    least: Tensor<2>,
}

impl Map for Step {
    fn through(&self, z: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let [_, size] = z.dims();
        let (alpha, least) = (self.alpha.clone(), self.least.clone());
        let away = z - self.centre.clone();
        let r = (away.clone().square().sum_dim(1) + LEAST_SQUARE).sqrt();
        let whole = alpha.clone() + r.clone();
        let across = (r.clone() + least.clone()) / whole.clone(); // 1 + beta h
        let outward = r.clone() * (r + alpha.clone().mul_scalar(2.0)) + alpha * least;
        let z = self.centre.clone() + away * across.clone();
        let log_determinant = across.log().mul_scalar(size as f64 - 1.0) + outward.log()
            - whole.log().mul_scalar(2.0);
        (z, log_determinant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posteriors::kind::{Head as _, Plain};
    use crate::random::Streams;
    use crate::tensors::{from_f64, to_f64};
    use burn::tensor::{DType, Device};

    fn tensor(values: &[f64]) -> Tensor<2> {
        let dims = [1, values.len()];
        from_f64(values.to_vec(), dims, DType::F64, &Device::flex())
    }

    /// Values computed independently. Fails if alpha is not a softplus, beta is not kept above -alpha, or a factor
    /// of the determinant is missing.
    #[test]
    fn a_step_is_the_one_of_the_paper() {
        let step = Step {
            centre: tensor(&[0.1, 0.2]),
            alpha: softplus(tensor(&[0.2]), 1.0),
            least: softplus(tensor(&[-0.5]), 1.0),
        };
        let alpha = to_f64(step.alpha.clone()).unwrap();
        let beta = to_f64(step.least.clone() - step.alpha.clone()).unwrap();
        let (moved, log_determinant) = step.through(tensor(&[0.4, -0.7]));
        let (moved, log_determinant) = (to_f64(moved), to_f64(log_determinant));
        let found = [alpha, beta, moved.unwrap(), log_determinant.unwrap()].concat();
        let expected = [0.798_139, -0.324_062, 0.344_345, -0.533_036, -0.293_772];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    /// Fails if alpha is the encoder's raw output, which may be negative: points closer to c than -alpha would
    /// change sides.
    #[test]
    fn a_step_keeps_the_order_of_points_on_a_ray_whatever_the_encoder_gives() {
        let shape = PointShape {
            tokens: 1,
            width: 1,
        };
        for [a, b] in [[-3.0, -3.0], [2.0, -9.0], [-9.0, 2.0]] {
            let head = Plain::new(&Radial { steps: 1 }, shape);
            let mut before = f64::NEG_INFINITY;
            for place in 1..=40 {
                let others = tensor(&[-30.0, 0.0, a, b]);
                let posterior = head.posterior(tensor(&[0.05 * f64::from(place)]), Some(others));
                let draw = posterior.draw(&mut Streams::new(0).at("draws", 0));
                let log_density = to_f64(draw.log_density().unwrap()).unwrap()[0];
                assert!(log_density.is_finite(), "{a} {b}: {log_density}");
                let moved = to_f64(posterior.centre()).unwrap()[0];
                assert!(moved > before, "{a} {b}: {moved} after {before}");
                before = moved;
            }
        }
    }
}
