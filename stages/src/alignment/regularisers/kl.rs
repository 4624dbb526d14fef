//! The KL divergence from the standard normal distribution, as in a VAE.

use super::kind::{Against, Encoded, Given, Regulariser, RegulariserKind, check_weight, is_zero};
use crate::error::Result;
use crate::posteriors::mean_over_elements;
use crate::priors::normal_nll;
use crate::problems::Problems;
use burn::tensor::Tensor;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// KL(q(z|x) || N(0, I)). Unit: nats per element of data (a row's divergence divided by the elements of the row).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kl {
    /// Weight of the term, per nat per element of data: the beta of a beta-VAE.
    pub weight: f64,
    /// Steps over which the weight rises linearly from zero, so that latents carry information before the
    /// divergence can suppress them.
    #[serde(skip_serializing_if = "is_zero")]
    pub warm_up_steps: u64,
}

impl Default for Kl {
    fn default() -> Self {
        Self {
            weight: 1.0,
            warm_up_steps: 0,
        }
    }
}

impl RegulariserKind for Kl {
    fn check(&self, problems: &mut Problems) {
        check_weight(self.weight, problems);
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn rises_over(&self) -> u64 {
        self.warm_up_steps
    }

    fn follows_flow(&self) -> bool {
        false
    }

    fn divergence_from(&self) -> Option<Against> {
        Some(Against::Normal)
    }

    fn begin<'a>(&'a self, given: Given<'a>) -> Result<Option<Box<dyn Regulariser + 'a>>> {
        Ok(Some(Box::new(Divergence {
            elements: given.elements,
        })))
    }
}

/// Uses the closed form if the posterior has one, else the draw.
struct Divergence {
    /// Latent elements per element of data.
    elements: f64,
}

impl Regulariser for Divergence {
    fn term(
        &self,
        Encoded {
            drawn, posterior, ..
        }: Encoded,
        _: &mut Pcg64,
    ) -> Result<Tensor<1>> {
        let latents = &drawn.latents;
        let kl = match posterior.kl_to_normal() {
            Some(kl) => mean_over_elements(kl, latents),
            None => {
                let log_density = drawn.log_density().expect("checked: it has a density");
                let nll = normal_nll(latents.clone());
                mean_over_elements(nll, latents) + mean_over_elements(log_density, latents)
            }
        };
        Ok(kl.mul_scalar(self.elements))
    }
}
