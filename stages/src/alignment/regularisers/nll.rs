//! The exact NLL under the prior.

use super::kind::{Given, Regulariser, RegulariserKind, WEIGHT, check_weight};
use crate::error::Result;
use crate::numerics::mean;
use crate::posteriors::{Draw, Posterior};
use crate::priors::{NllOptions, Points, Prior};
use crate::problems::Problems;
use crate::tensors::{from_f32, from_f64};
use burn::tensor::Tensor;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The NLL of latents under a prior whose NLL can be differentiated. Its unit: nats for each element of latents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Nll {
    /// Factor on the term.
    pub weight: f64,
    /// The tolerance of an NLL in nats, where an ODE is solved for it.
    pub tolerance: f64,
}

impl Default for Nll {
    fn default() -> Self {
        Self {
            weight: WEIGHT,
            tolerance: 1e-2,
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
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn begin<'a>(&'a self, given: Given<'a>) -> Result<Option<Box<dyn Regulariser + 'a>>> {
        Ok(Some(Box::new(Exact {
            prior: given.prior,
            tolerance: self.tolerance,
        })))
    }
}

struct Exact<'a> {
    prior: &'a dyn Prior,
    tolerance: f64,
}

impl Regulariser for Exact<'_> {
    /// The NLL's graph where it has one, else its value, whose gradient is that of the ODE.
    fn term(&self, drawn: &Draw, _: &dyn Posterior, _: &mut Pcg64) -> Result<Tensor<1>> {
        let (latents, shape) = (drawn.latents.clone(), self.prior.shape());
        let [n, d] = latents.dims();
        let points = n * d / shape.elements();
        let values = latents.reshape([points, shape.tokens, shape.width]);
        let each = 1.0 / shape.elements() as f64;
        if let Some(nll) = self.prior.nll_graph(&Points::new(values.clone())) {
            return Ok(nll.mean().mul_scalar(each));
        }
        let options = NllOptions::exact(self.tolerance);
        let tracked = values.device().is_autodiff();
        let plain = Points::new(match tracked {
            true => values.clone().inner(),
            false => values.clone(),
        });
        let go_on = &mut |_| Ok(());
        let nll = mean(&self.prior.nll(&plain, &options, go_on)?.values);
        let value = from_f32(vec![(nll * each) as f32], [1], &plain.values.device());
        if !tracked {
            return Ok(value);
        }
        let gradient = self.prior.nll_gradient(&plain, &options, go_on)?;
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
