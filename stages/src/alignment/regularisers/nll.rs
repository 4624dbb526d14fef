//! The exact NLL under the prior.

use super::kind::{
    Against, Encoded, Given, Regulariser, RegulariserKind, WEIGHT, check_entropy, check_weight,
    less_entropy,
};
use crate::error::Result;
use crate::numerics::mean;
use crate::priors::{NllOptions, Points, Prior, Witness};
use crate::problems::Problems;
use crate::tensors::{from_f32, from_f64};
use crate::training::{gathered, spread};
use burn::tensor::{Device, Tensor};
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The NLL of latents under a prior with a differentiable NLL. Unit: nats per element of latents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Nll {
    /// Weight of the term, per nat per element of latents.
    pub weight: f64,
    /// Tolerance of an NLL in nats, if it needs an ODE.
    pub tolerance: f64,
    /// The file of another experiment, relative to this one: its prior over the same features, which must have an
    /// NLL in closed form, replaces the flow.
    pub prior: Option<PathBuf>,
    /// Factor on the posterior's entropy, in nats per element of latents, which is subtracted from the NLL: 1 gives
    /// a KL divergence. It keeps latents from contracting onto modes. The posterior then needs noise.
    pub entropy: f64,
}

impl Default for Nll {
    fn default() -> Self {
        Self {
            weight: WEIGHT,
            tolerance: 1e-2,
            prior: None,
            entropy: 0.0,
        }
    }
}

impl RegulariserKind for Nll {
    fn check(&self, problems: &mut Problems) {
        check_weight(self.weight, problems);
        problems.require(
            (1e-7..=1.0).contains(&self.tolerance),
            "tolerance",
            self.tolerance,
            "[1e-7, 1] such as 1e-2",
        );
        check_entropy(self.entropy, problems);
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn divergence_from(&self) -> Option<Against> {
        (self.entropy == 1.0 && self.prior.is_none()).then_some(Against::Prior)
    }

    fn needs_density(&self) -> bool {
        self.entropy > 0.0
    }

    fn begin<'a>(&'a self, given: Given<'a>) -> Result<Option<Box<dyn Regulariser + 'a>>> {
        Ok(Some(Box::new(Exact {
            priors: given.priors().collect(),
            devices: given.devices(),
            witness: given.witness,
            tolerance: self.tolerance,
            entropy: self.entropy,
        })))
    }
}

struct Exact<'a> {
    /// The prior on each device.
    priors: Vec<&'a dyn Prior>,
    devices: Vec<Device>,
    /// Replaces the prior, if given.
    witness: Option<&'a Witness>,
    tolerance: f64,
    entropy: f64,
}

impl Regulariser for Exact<'_> {
    fn term(
        &self,
        Encoded {
            drawn, posterior, ..
        }: Encoded,
        _: &mut Pcg64,
    ) -> Result<Tensor<1>> {
        let latents = drawn.latents.clone();
        let nll = match self.witness {
            Some(witness) => under(witness, latents)?,
            None => self.own(latents)?,
        };
        Ok(less_entropy(nll, self.entropy, drawn, posterior))
    }
}

/// The NLL of latents [n, d] under `witness`, mean over elements.
fn under(witness: &Witness, latents: Tensor<2>) -> Result<Tensor<1>> {
    let ([n, d], elements) = (latents.dims(), witness.elements());
    let values = latents.reshape([n * d / elements, 1, elements]);
    let nll = witness.nll_graph(&Points::new(values))?;
    Ok(nll.mean().div_scalar(elements as f64))
}

impl Exact<'_> {
    /// The NLL of latents [n, d] under the prior: its graph if it has one, else its value with the gradient of the
    /// ODE.
    fn own(&self, latents: Tensor<2>) -> Result<Tensor<1>> {
        let prior = self.priors[0];
        let shape = prior.shape();
        let [n, d] = latents.dims();
        let points = n * d / shape.elements();
        let values = latents.reshape([points, shape.tokens, shape.width]);
        let each = 1.0 / shape.elements() as f64;
        let shares = spread(values.clone(), &self.devices).into_iter();
        let graphs = shares.zip(&self.priors);
        let graphs = graphs.map(|(values, prior)| prior.nll_graph(&Points::new(values)));
        if let Some(nll) = graphs.collect::<Option<Vec<_>>>() {
            return Ok(gathered(nll).mean().mul_scalar(each));
        }
        let options = NllOptions::exact(self.tolerance);
        let tracked = values.device().is_autodiff();
        let plain = Points::new(match tracked {
            true => values.clone().inner(),
            false => values.clone(),
        });
        let go_on = &mut |_| Ok(());
        let nll = mean(&prior.nll(&plain, &options, go_on)?.values);
        let value = from_f32(vec![(nll * each) as f32], [1], &plain.values.device());
        if !tracked {
            return Ok(value);
        }
        let gradient = prior.nll_gradient(&plain, &options, go_on)?;
        let gradient = from_f64(
            gradient,
            values.dims(),
            values.dtype(),
            &plain.values.device(),
        );
        let scale = each / points as f64;
        let along = (values * Tensor::from_inner(gradient))
            .sum()
            .mul_scalar(scale);
        Ok(along.clone() - along.detach() + Tensor::from_inner(value))
    }
}
