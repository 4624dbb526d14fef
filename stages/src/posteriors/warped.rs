//! A Gaussian transformed by an invertible map.

use super::gaussian::Diagonal;
use super::kind::tokens;
use super::posterior::{Draw, Posterior};
use crate::fused::{RowMap, row_map};
use crate::priors::PointShape;
use burn::tensor::Tensor;
use rand_pcg::Pcg64;

/// An invertible map of each row.
pub(super) trait Map {
    /// The image of `z` [B, M], and the log-determinant of the Jacobian [B, 1], which is positive.
    fn through(&self, z: Tensor<2>) -> (Tensor<2>, Tensor<2>);
}

/// `map` as one pass on a CPU in f32: the image of `z` [B, M] and the log-determinant [B, 1].
pub(super) fn in_one_pass(z: Tensor<2>, given: Tensor<2>, map: RowMap) -> (Tensor<2>, Tensor<2>) {
    let [_, size] = z.dims();
    let out = row_map(z, given, map);
    (out.clone().narrow(1, 0, size), out.narrow(1, size, 1))
}

/// Composition of maps.
impl<F: Map> Map for Vec<F> {
    fn through(&self, z: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let none = z.zeros_like().narrow(1, 0, 1);
        self.iter().fold((z, none), |(z, before), step| {
            let (z, log_determinant) = step.through(z);
            (z, before + log_determinant)
        })
    }
}

/// `z = f(z_0)` of each row, `z_0 ~ N(mean, diag(variance))`, with `log q(z|x) = log q(z_0|x) - log |det df/dz_0|`.
struct Warped<F> {
    /// Distribution of z_0, [B, M].
    base: Diagonal,
    /// f.
    map: F,
    /// The latents of a row, M numbers.
    shape: PointShape,
}

/// The posterior with the means [B, M], log-variances [B, M] at the start of `others`, and the map of the rest [B, k].
pub(super) fn warped<F: Map + 'static>(
    means: Tensor<2>,
    others: Option<Tensor<2>>,
    shape: PointShape,
    map: impl FnOnce(Tensor<2>) -> F,
) -> Box<dyn Posterior> {
    let others = others.expect("more others than means");
    let ([_, count], size) = (others.dims(), shape.elements());
    Box::new(Warped {
        base: Diagonal::of_rows(means, &others),
        map: map(others.narrow(1, size, count - size)),
        shape,
    })
}

impl<F: Map> Posterior for Warped<F> {
    fn centre(&self) -> Tensor<2> {
        let (centre, _) = self.map.through(self.base.mean.clone());
        tokens(centre, self.shape)
    }

    fn draw(&self, rng: &mut Pcg64) -> Draw {
        let (start, base) = (self.base.sample(rng), self.base.clone());
        let (latents, log_determinant) = self.map.through(start.clone());
        Draw::new(tokens(latents, self.shape), move || {
            base.log_density_of(start.clone()) - log_determinant.clone()
        })
    }
}
