//! Configuration of a kind of posterior.

use super::posterior::Posterior;
use crate::priors::PointShape;
use crate::problems::Problems;
use burn::module::Module;
use burn::tensor::Tensor;
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The configuration of a kind of posterior. For the latents of a row, T d numbers, the encoder outputs as many
/// means and `others`.
pub trait PosteriorKind {
    /// Reports every value out of range.
    fn check(&self, _problems: &mut Problems) {}

    /// Checks the shape of a row's latents.
    ///
    /// # Errors
    /// The end of the sentence "expected ...".
    fn check_shape(&self, _shape: PointShape) -> Result<(), String> {
        Ok(())
    }

    /// Whether draws have a density, as a KL divergence needs.
    fn has_density(&self) -> bool {
        true
    }

    /// Encoder outputs per row besides the means.
    fn others(&self, shape: PointShape) -> usize;

    /// Initial values of these numbers for free points, which have no encoder.
    fn start(&self, shape: PointShape) -> Vec<f32> {
        vec![0.0; self.others(shape)]
    }
}

/// Computes posteriors from the encoder's outputs: a module, since some kinds have weights of their own.
pub trait Head {
    /// q(z|x) of each of B rows from `means` [B, T d] and `others` [B, k], None if k is 0.
    fn posterior(&self, means: Tensor<2>, others: Option<Tensor<2>>) -> Box<dyn Posterior>;
}

/// A kind without weights: its configuration is all that its head knows.
pub trait Weightless: PosteriorKind + Debug + Send + Sync {
    /// As [`Head::posterior`], for latents of `shape`.
    fn posterior(
        &self,
        shape: PointShape,
        means: Tensor<2>,
        others: Option<Tensor<2>>,
    ) -> Box<dyn Posterior>;
}

/// The head of a kind without weights.
#[derive(Module, Debug)]
pub struct Plain {
    #[module(skip)]
    kind: Arc<dyn Weightless>,
    #[module(skip)]
    shape: PointShape,
}

impl Plain {
    /// For the latents of a row.
    pub fn new(kind: &(impl Weightless + Clone + 'static), shape: PointShape) -> Self {
        let kind = Arc::new(kind.clone());
        Self { kind, shape }
    }
}

impl Head for Plain {
    fn posterior(&self, means: Tensor<2>, others: Option<Tensor<2>>) -> Box<dyn Posterior> {
        self.kind.posterior(self.shape, means, others)
    }
}

/// Refuses latents of `shape` outside of `range` numbers per row, for a kind that `does` something, such as
/// `ties together`, to all numbers of a row at once.
pub(super) fn check_row(
    shape: PointShape,
    range: RangeInclusive<usize>,
    does: &str,
) -> Result<(), String> {
    match range.contains(&shape.tokens.saturating_mul(shape.width)) {
        true => Ok(()),
        false => Err(format!(
            "latents of {} to {} numbers per row, tokens times width, since it {does} all of them; or use `gaussian`",
            range.start(),
            range.end()
        )),
    }
}

/// Maximum numbers per row for kinds that transform them jointly, with steps of that size.
pub(super) const MOST_MOVED: usize = 4096;

/// Reshapes rows [B, T d] to tokens [B T, d].
pub(super) fn tokens(rows: Tensor<2>, shape: PointShape) -> Tensor<2> {
    let [count, _] = rows.dims();
    rows.reshape([count * shape.tokens, shape.width])
}
