//! A layer's elementwise transform: a monotonic function whose parameters the layer computes.

use super::spline::Splines;
use burn::tensor::Tensor;

/// `x exp(s) + shift` with `s = bound tanh(raw / bound)`, or a spline.
#[derive(Debug, Clone, Copy)]
pub(super) enum Transform {
    Affine,
    Spline(Splines),
}

/// Bound of an affine map's log-scale.
const BOUND: f64 = 2.0;

impl Transform {
    /// Parameters per element.
    pub fn numbers(self) -> usize {
        match self {
            Self::Affine => 2,
            Self::Spline(splines) => splines.numbers(),
        }
    }

    /// Maps `x` [n, m] by parameters `raw` [n, numbers, m]; also returns the logarithms of the slopes [n, m]. Zero
    /// `raw` gives the identity.
    pub fn forward(self, x: Tensor<2>, raw: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        match self {
            Self::Affine => {
                let [shift, log_scale] = affine(raw);
                (x * log_scale.clone().exp() + shift, log_scale)
            }
            Self::Spline(splines) => splines.forward(x, raw),
        }
    }

    /// The inverse of [`Self::forward`].
    pub fn inverse(self, y: Tensor<2>, raw: Tensor<3>) -> Tensor<2> {
        match self {
            Self::Affine => {
                let [shift, log_scale] = affine(raw);
                (y - shift) * log_scale.neg().exp()
            }
            Self::Spline(splines) => splines.inverse(y, raw),
        }
    }
}

/// Shift and log-scale, each [n, m].
fn affine(raw: Tensor<3>) -> [Tensor<2>; 2] {
    let [shift, raw] = [0, 1].map(|i| raw.clone().narrow(1, i, 1).squeeze_dim::<2>(1));
    let log_scale = raw.div_scalar(BOUND).tanh().mul_scalar(BOUND);
    [shift, log_scale]
}
