//! The map between the points of two normalisations of the same features.

use super::normaliser::{Linear, Normaliser};
use nalgebra::DMatrix;

/// Maximum residual relative to the other matrix's largest entry; beyond it, the other points are not a function of
/// these.
const LEFT_OVER: f64 = 1e-8;

impl Normaliser {
    /// The map from points `y = (x - m) A` of `self` to points `y' = (x - m') A'` of `other` of the same features
    /// x: `y' = (y - mean) M` with `A M = A'` and `mean = (m' - m) A`. Its `log_abs_det` is `ln |det M|`. The
    /// features themselves are not needed if both project in the same way, as by the same random matrix. None if
    /// the points have different widths, or `other` depends on directions that `self` drops.
    pub fn onto(&self, other: &Self) -> Option<Self> {
        let (features, width) = (self.input_width, self.output_width);
        if (features, width) != (other.input_width, other.output_width) {
            return None;
        }
        let moved = (other.mean.iter().zip(&self.mean)).map(|(other, own)| other - own);
        let (mean, linear) = match (&self.linear, &other.linear) {
            (Linear::Diagonal(own), Linear::Diagonal(others)) => (
                moved.zip(own).map(|(mean, scale)| mean * scale).collect(),
                Linear::Diagonal(others.iter().zip(own).map(|(a, b)| a / b).collect()),
            ),
            _ => {
                let [own, others] =
                    [self, other].map(|of| DMatrix::from_row_slice(features, width, &of.matrix()));
                let mean = DMatrix::from_iterator(1, features, moved) * &own;
                let between = match own == others {
                    true => DMatrix::identity(width, width), // without rounding
                    false => {
                        let qr = own.clone().qr();
                        (qr.r()).solve_upper_triangular(&(qr.q().transpose() * &others))?
                    }
                };
                if (own * &between - &others).amax() > LEFT_OVER * others.amax() {
                    return None;
                }
                let between = between.transpose().as_slice().to_vec();
                (mean.as_slice().to_vec(), Linear::Dense(between))
            }
        };
        let map = Self {
            mean,
            linear,
            input_width: width,
            output_width: width,
            projection_seed: None,
        };
        map.log_abs_det().map(|_| map)
    }
}
