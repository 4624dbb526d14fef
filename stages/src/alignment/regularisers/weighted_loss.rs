//! The alignment loss under a frozen velocity, shared by two kinds.

use super::kind::lacks;
use crate::alignment::loss::{alignment_loss, alignment_times};
use crate::alignment::weighting::Weighted;
use crate::error::Result;
use crate::priors::{Prior, Tabulated, VelocityField};
use burn::tensor::Tensor;
use rand_pcg::Pcg64;

/// The loss for one weighting.
pub(super) struct WeightedLoss<'a> {
    weighted: Weighted,
    frozen: Frozen<'a>,
    /// Numbers per point of the prior.
    elements: usize,
}

/// A frozen velocity on a device with autodiff.
enum Frozen<'a> {
    /// A network with precomputed time-dependent values.
    Table(Box<Tabulated>),
    /// Another field.
    Field(&'a dyn VelocityField),
}

impl<'a> WeightedLoss<'a> {
    /// For the velocity of `prior`.
    ///
    /// # Errors
    /// An input error for a prior without a velocity.
    pub fn new(weighted: Weighted, prior: &'a dyn Prior) -> Result<Self> {
        let frozen = match (prior.network(), prior.velocity_tracked()) {
            (Some(network), _) => {
                let table = Tabulated::new(network.clone(), alignment_times(weighted));
                Frozen::Table(Box::new(table))
            }
            (None, Some(field)) => Frozen::Field(field),
            (None, None) => return Err(lacks("the velocity of a probability-flow ODE")),
        };
        Ok(Self {
            weighted,
            frozen,
            elements: prior.shape().elements(),
        })
    }

    /// The loss `[1]` of `latents` [n, d], mean over elements and `draws` draws.
    pub fn of(&self, latents: Tensor<2>, draws: usize, rng: &mut Pcg64) -> Tensor<1> {
        let [n, d] = latents.dims();
        let points = latents.reshape([n * d / self.elements, self.elements]);
        let field = match &self.frozen {
            Frozen::Table(table) => table.as_ref(),
            Frozen::Field(field) => *field,
        };
        alignment_loss(field, points, self.weighted, draws, rng)
    }
}
