//! The alignment loss under a frozen velocity, shared by two kinds.

use super::kind::{Given, lacks};
use crate::alignment::loss::{alignment_loss, alignment_times};
use crate::alignment::weighting::Weighted;
use crate::error::Result;
use crate::priors::{Prior, Spread, Tabulated, VelocityField};
use burn::tensor::{Device, Tensor};
use rand_pcg::Pcg64;

/// The loss for one weighting.
pub(super) struct WeightedLoss<'a> {
    weighted: Weighted,
    /// One on each device.
    frozen: Vec<Frozen<'a>>,
    devices: Vec<Device>,
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

impl<'a> Frozen<'a> {
    /// The velocity of `prior`, for `weighted`.
    fn of(weighted: Weighted, prior: &'a dyn Prior) -> Result<Self> {
        match (prior.network(), prior.velocity_tracked()) {
            (Some(network), _) => {
                let table = Tabulated::new(network.clone(), alignment_times(weighted));
                Ok(Self::Table(Box::new(table)))
            }
            (None, Some(field)) => Ok(Self::Field(field)),
            (None, None) => Err(lacks("the velocity of a probability-flow ODE")),
        }
    }

    fn field(&self) -> &dyn VelocityField {
        match self {
            Self::Table(table) => table.as_ref(),
            Self::Field(field) => *field,
        }
    }
}

impl<'a> WeightedLoss<'a> {
    /// For the velocity of the prior in `given`.
    ///
    /// # Errors
    /// An input error for a prior without a velocity.
    pub fn new(weighted: Weighted, given: Given<'a>) -> Result<Self> {
        let frozen = given.priors().map(|prior| Frozen::of(weighted, prior));
        Ok(Self {
            weighted,
            frozen: frozen.collect::<Result<_>>()?,
            devices: given.devices(),
            elements: given.prior.shape().elements(),
        })
    }

    /// The loss `[1]` of `latents` [n, d], mean over elements and `draws` draws.
    pub fn of(&self, latents: Tensor<2>, draws: usize, rng: &mut Pcg64) -> Tensor<1> {
        let [n, d] = latents.dims();
        let points = latents.reshape([n * d / self.elements, self.elements]);
        let field = Spread {
            fields: self.frozen.iter().map(Frozen::field).collect(),
            devices: &self.devices,
        };
        alignment_loss(&field, points, self.weighted, draws, rng)
    }
}
