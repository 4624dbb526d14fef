//! A kind of posterior as it is configured.

use super::posterior::Posterior;
use crate::priors::PointShape;
use crate::problems::Problems;
use burn::tensor::Tensor;
use std::ops::RangeInclusive;

/// A kind of posterior, as it is configured. For the latents of a row, T d numbers, the encoder gives as many
/// means and `others`.
pub trait PosteriorKind {
    /// Notes every value out of range.
    fn check(&self, _problems: &mut Problems) {}

    /// Says what it expects of the latents of a row, if not `shape`.
    ///
    /// # Errors
    /// The end of the sentence "expected ...".
    fn check_shape(&self, _shape: PointShape) -> Result<(), String> {
        Ok(())
    }

    /// Whether draws have a density: what a KL divergence needs.
    fn has_density(&self) -> bool {
        true
    }

    /// Numbers a row that the encoder gives besides the means.
    fn others(&self, shape: PointShape) -> usize;

    /// Where these numbers start for free points, which no encoder gives them.
    fn start(&self, shape: PointShape) -> Vec<f32> {
        vec![0.0; self.others(shape)]
    }
}

/// What makes posteriors of what the encoder gives: a module, since some kinds have weights of their own.
pub trait Head {
    /// q(z|x) of each of B rows from `means` [B, T d] and `others` [B, k], none where k is 0.
    fn posterior(&self, means: Tensor<2>, others: Option<Tensor<2>>) -> Box<dyn Posterior>;
}

/// Refuses latents of `shape` for a kind that `does` something, such as `ties together`, to all numbers of a row at once:
/// as many of them as `range` says.
pub(super) fn check_row(
    shape: PointShape,
    range: RangeInclusive<usize>,
    does: &str,
) -> Result<(), String> {
    match range.contains(&shape.tokens.saturating_mul(shape.width)) {
        true => Ok(()),
        false => Err(format!(
            "latents of {} to {} numbers a row, tokens times width, all of which it {does}; else `gaussian`",
            range.start(),
            range.end()
        )),
    }
}

/// The most numbers a row of a kind that moves them together, each step of which is as large as they are.
pub(super) const MOST_MOVED: usize = 4096;

/// Numbers of rows [B, T d] as those of their tokens [B T, d].
pub(super) fn tokens(rows: Tensor<2>, shape: PointShape) -> Tensor<2> {
    let [count, _] = rows.dims();
    rows.reshape([count * shape.tokens, shape.width])
}
