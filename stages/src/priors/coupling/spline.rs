//! Monotonic rational-quadratic splines (Durkan et al. 2019, *Neural Spline Flows*, arXiv 1906.04032).
//!
//! On [-B, B] a number x is mapped by one of K pieces between K + 1 knots `(x_k, y_k)` with slopes `d_k`; each
//! piece is a quotient of two quadratics. Outside the interval the map is the identity. With w and h the width and
//! height of the piece that contains x, `s = h / w` and `r = (x - x_k) / w`:
//!
//! ```text
//! y     = y_k + h (s r^2 + d_k r (1 - r)) / (s + (d_k + d_{k+1} - 2 s) r (1 - r))                           (equation 4)
//! dy/dx = s^2 (d_{k+1} r^2 + 2 s r (1 - r) + d_k (1 - r)^2) / (s + (d_k + d_{k+1} - 2 s) r (1 - r))^2        (equation 5)
//! ```
//!
//! The inverse solves a quadratic equation for r (equations 6 to 8).

use crate::problems::Problems;
use burn::tensor::Tensor;
use burn::tensor::activation::{softmax, softplus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Splines instead of affine maps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Splines {
    /// Number of pieces K of a spline.
    pub bins: usize,
    /// The map is the identity outside +-bound.
    pub bound: f64,
}

impl Default for Splines {
    fn default() -> Self {
        Self {
            bins: 8,
            bound: 4.0,
        }
    }
}

/// The least share of a piece in width and height, and the least slope at a knot.
const LEAST: f64 = 1e-3;

/// Index of the axis, as knots are stored.
const X: usize = 0;
const Y: usize = 1;

/// The pieces that contain m numbers of each of n rows, each [n, m].
struct Pieces {
    x: Tensor<2>,
    width: Tensor<2>,
    y: Tensor<2>,
    height: Tensor<2>,
    /// s.
    slope: Tensor<2>,
    /// Slopes at the left and the right knot.
    left: Tensor<2>,
    right: Tensor<2>,
}

impl Splines {
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.within("bins", self.bins, 2..=128);
        problems.require(
            self.bound > 0.0 && self.bound <= 1e3,
            "bound",
            self.bound,
            "above 0, at most 1000",
        );
    }

    /// Parameters of a spline: K widths, K heights and K - 1 slopes, unconstrained.
    pub(super) fn numbers(&self) -> usize {
        3 * self.bins - 1
    }

    /// Maps `x` [n, m] by splines with parameters `raw` [n, numbers, m]; also returns the logarithms of their
    /// slopes [n, m]. Zero `raw` gives the identity.
    pub(super) fn forward(&self, x: Tensor<2>, raw: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        let inside = x.clone().clamp(-self.bound, self.bound);
        let beyond = x - inside.clone();
        let (y, log_slope) = self.pieces(&inside, raw, X).at(inside);
        // the slope at the border is 1, as it is outside
        (y + beyond, log_slope)
    }

    /// The inverse of [`Self::forward`] at `y` [n, m].
    pub(super) fn inverse(&self, y: Tensor<2>, raw: Tensor<3>) -> Tensor<2> {
        let inside = y.clone().clamp(-self.bound, self.bound);
        let beyond = y - inside.clone();
        self.pieces(&inside, raw, Y).back_from(inside) + beyond
    }

    /// The pieces that contain `values` [n, m] on this axis.
    fn pieces(&self, values: &Tensor<2>, raw: Tensor<3>, axis: usize) -> Pieces {
        let bins = self.bins;
        let [n, _, m] = raw.dims();
        let sizes = [0, bins].map(|from| self.sizes(raw.clone().narrow(1, from, bins)));
        let knots = sizes.clone().map(|sizes| {
            let zero = sizes.zeros_like().narrow(1, 0, 1);
            Tensor::cat(vec![zero, sizes.cumsum(1)], 1).sub_scalar(self.bound)
        });
        // softplus(raw + shift) + LEAST is 1 at 0
        let shift = (1.0 - LEAST).exp_m1().ln();
        let slopes = softplus(raw.narrow(1, 2 * bins, bins - 1).add_scalar(shift), 1.0);
        let slopes = slopes.add_scalar(LEAST);
        let one = slopes.ones_like().narrow(1, 0, 1);
        let slopes = Tensor::cat(vec![one.clone(), slopes, one], 1);

        // 1 in the piece that contains the value: at or past its left knot and before the next one
        let inner = knots[axis].clone().narrow(1, 1, bins - 1);
        let values = values.clone().reshape([n, 1, m]);
        let passed = inner.lower_equal(values).float().cast(sizes[0].dtype());
        let [all, none] = [1.0, 0.0].map(|x| sizes[0].full_like(x).narrow(1, 0, 1));
        let chosen = Tensor::cat(vec![all, passed.clone()], 1) - Tensor::cat(vec![passed, none], 1);
        let pick = |from: Tensor<3>| (from * chosen.clone()).sum_dim(1).reshape([n, m]);
        let [width, height] = sizes.map(pick);
        let [x, y] = knots.map(|knots| pick(knots.narrow(1, 0, bins)));
        Pieces {
            x,
            slope: height.clone() / width.clone(),
            width,
            y,
            height,
            left: pick(slopes.clone().narrow(1, 0, bins)),
            right: pick(slopes.narrow(1, 1, bins)),
        }
    }

    /// Sizes of pieces [n, K, m], which sum to the length of [-B, B].
    fn sizes(&self, raw: Tensor<3>) -> Tensor<3> {
        let free = 1.0 - LEAST * self.bins as f64;
        let shares = softmax(raw, 1).mul_scalar(free).add_scalar(LEAST);
        shares.mul_scalar(2.0 * self.bound)
    }
}

impl Pieces {
    /// `d_k + d_{k+1} - 2 s`.
    fn bend(&self) -> Tensor<2> {
        self.left.clone() + self.right.clone() - self.slope.clone().mul_scalar(2.0)
    }

    /// Value of the spline at `x` [n, m], and the logarithm of its slope.
    fn at(self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let bend = self.bend();
        let r = (x - self.x) / self.width;
        let (both, square) = (both(&r), r.clone().square());
        let denominator = self.slope.clone() + bend * both.clone();
        let y = self.slope.clone() * square.clone() + self.left.clone() * both.clone();
        let y = self.y + self.height * y / denominator.clone();
        let rise = self.right * square
            + self.slope.clone().mul_scalar(2.0) * both
            + self.left * r.neg().add_scalar(1.0).square();
        let log_slope = (self.slope.log() - denominator.log()).mul_scalar(2.0) + rise.log();
        (y, log_slope)
    }

    /// Inverse at `y` [n, m]: r is the root of `a r^2 + b r + c` in [0, 1], in the numerically stable form.
    fn back_from(self, y: Tensor<2>) -> Tensor<2> {
        let above = y - self.y.clone();
        let bent = above.clone() * self.bend();
        let a = self.height.clone() * (self.slope.clone() - self.left.clone()) + bent.clone();
        let b = self.height * self.left - bent;
        let c = (self.slope * above).neg();
        let discriminant = (b.clone().square() - a * c.clone().mul_scalar(4.0)).clamp_min(0.0);
        let r = c.mul_scalar(2.0) / (b.neg() - discriminant.sqrt());
        self.x + r * self.width
    }
}

/// `r (1 - r)`.
fn both(r: &Tensor<2>) -> Tensor<2> {
    r.clone() - r.clone().square()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;
    use crate::tensors::{from_f64, to_f64};
    use burn::tensor::{DType, Device};

    const SPLINES: Splines = Splines {
        bins: 5,
        bound: 3.0,
    };
    const COUNT: usize = 400;

    fn raw(scale: f64) -> Tensor<3> {
        let numbers = SPLINES.numbers();
        let drawn = Streams::new(3).normal("splines", 0, numbers);
        let each = drawn.iter().map(|&x| scale * f64::from(x));
        let values: Vec<f64> = each.flat_map(|x| std::iter::repeat_n(x, COUNT)).collect();
        from_f64(values, [1, numbers, COUNT], DType::F64, &Device::flex())
    }

    /// Numbers on both sides of the borders.
    fn numbers() -> Vec<f64> {
        let share = |i: usize| (i as f64 + 0.37) / COUNT as f64;
        (0..COUNT).map(|i| -4.0 + 8.0 * share(i)).collect()
    }

    fn carried(values: &[f64], scale: f64) -> [Vec<f64>; 2] {
        let x = from_f64(values.to_vec(), [1, COUNT], DType::F64, &Device::flex());
        let (y, slope) = SPLINES.forward(x, raw(scale));
        [y, slope].map(|of| to_f64(of).unwrap())
    }

    #[test]
    fn zeros_are_the_identity() {
        let [y, slope] = carried(&numbers(), 0.0);
        for ((x, y), slope) in numbers().iter().zip(y).zip(slope) {
            assert!(
                (x - y).abs() < 1e-12 && slope.abs() < 1e-12,
                "{x} {y} {slope}"
            );
        }
    }

    /// Fails if a piece uses the wrong knot or slope, or leaves a gap at its border.
    #[test]
    fn it_rises_continuously_by_its_slope_and_is_undone() {
        let (x, step) = (numbers(), 1e-6);
        let [y, log_slope] = carried(&x, 1.5);
        assert!(y.windows(2).all(|pair| pair[0] < pair[1]));
        let beside = |step: f64| {
            let moved: Vec<f64> = x.iter().map(|x| x + step).collect();
            let [y, _] = carried(&moved, 1.5);
            y
        };
        let (below, above) = (beside(-step), beside(step));
        for i in 0..COUNT {
            let rise = ((above[i] - below[i]) / (2.0 * step)).ln();
            assert!(
                (rise - log_slope[i]).abs() < 1e-5,
                "{} {rise} {}",
                x[i],
                log_slope[i]
            );
        }
        let y = from_f64(y, [1, COUNT], DType::F64, &Device::flex());
        let back = to_f64(SPLINES.inverse(y, raw(1.5))).unwrap();
        for (x, back) in x.iter().zip(back) {
            assert!((x - back).abs() < 1e-10, "{x} {back}");
        }
        let outside = x.iter().zip(carried(&x, 1.5)[0].clone());
        assert!(
            outside
                .filter(|(x, _)| x.abs() > 3.0)
                .all(|(x, y)| (x - y).abs() < 1e-12)
        );
    }
}
