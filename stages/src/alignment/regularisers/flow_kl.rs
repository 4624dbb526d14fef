//! The KL divergence from the flow by its likelihood-weighted loss.

use super::kind::{
    Against, DRAWS, Encoded, Given, Regulariser, RegulariserKind, check_draws, check_weight,
    is_zero, less_entropy,
};
use super::weighted_loss::WeightedLoss;
use crate::alignment::weighting::{TRUNCATION, Weighted, Weighting, check_truncation};
use crate::error::Result;
use crate::priors::Offers;
use crate::problems::Problems;
use burn::tensor::Tensor;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// KL(q(z|x) || flow): the likelihood-weighted loss of draws minus the posterior's entropy. Unit: nats per element
/// of data (a row's divergence divided by the elements of the row).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlowKl {
    /// Weight of the term, per nat per element of data: the beta of a beta-VAE.
    pub weight: f64,
    /// Steps over which the weight rises linearly from zero, so that latents carry information before the
    /// divergence can suppress them.
    #[serde(skip_serializing_if = "is_zero")]
    pub warm_up_steps: u64,
    /// (t, noise) draws per token.
    pub draws: usize,
    /// The largest ratio R = t / (1 - t).
    pub truncation: f64,
}

impl Default for FlowKl {
    fn default() -> Self {
        Self {
            weight: 1.0,
            warm_up_steps: 0,
            draws: DRAWS,
            truncation: TRUNCATION,
        }
    }
}

impl FlowKl {
    fn weighted(&self) -> Weighted {
        Weighted {
            weighting: Weighting::Likelihood,
            truncation: self.truncation,
        }
    }
}

impl RegulariserKind for FlowKl {
    fn check(&self, problems: &mut Problems) {
        check_weight(self.weight, problems);
        check_draws(self.draws, problems);
        check_truncation(problems, self.truncation);
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn rises_over(&self) -> u64 {
        self.warm_up_steps
    }

    fn asks(&self) -> Offers {
        Offers::Velocity
    }

    fn divergence_from(&self) -> Option<Against> {
        Some(Against::Flow(self.weighted()))
    }

    fn begin<'a>(&'a self, given: Given<'a>) -> Result<Option<Box<dyn Regulariser + 'a>>> {
        Ok(Some(Box::new(Divergence {
            loss: WeightedLoss::new(self.weighted(), given)?,
            draws: self.draws,
            elements: given.elements,
        })))
    }
}

/// Uses the closed form of the entropy if there is one, else the draw.
struct Divergence<'a> {
    loss: WeightedLoss<'a>,
    draws: usize,
    /// Latent elements per element of data.
    elements: f64,
}

impl Regulariser for Divergence<'_> {
    fn term(
        &self,
        Encoded {
            drawn, posterior, ..
        }: Encoded,
        rng: &mut Pcg64,
    ) -> Result<Tensor<1>> {
        let nll = self.loss.of(drawn.latents.clone(), self.draws, rng);
        let kl = less_entropy(nll, 1.0, drawn, posterior);
        Ok(kl.mul_scalar(self.elements))
    }
}
