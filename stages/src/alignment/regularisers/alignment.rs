//! The alignment loss (Li et al.).

use super::kind::{
    DRAWS, Encoded, Given, Regulariser, RegulariserKind, WEIGHT, check_draws, check_entropy,
    check_weight, less_entropy,
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

/// The alignment loss under the frozen flow. Unit: w(t) times the mean square of the velocity error, per element
/// of latents; nats per element of latents under the likelihood weighting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Alignment {
    /// Weight of the term, per unit of the alignment loss (mean over elements of latents).
    pub weight: f64,
    /// The weighting w(t) of the loss.
    pub weighting: Weighting,
    /// (t, noise) draws per token: noise is independent, times are stratified over the batch.
    pub draws: usize,
    /// The largest ratio R = t / (1 - t) of the likelihood weighting.
    pub truncation: f64,
    /// Factor on the posterior's entropy, in nats per element of latents, which is subtracted from the loss: it
    /// keeps latents from contracting onto modes. The posterior then needs noise.
    pub entropy: f64,
}

impl Default for Alignment {
    fn default() -> Self {
        Self {
            weight: WEIGHT,
            weighting: Weighting::default(),
            draws: DRAWS,
            truncation: TRUNCATION,
            entropy: 0.0,
        }
    }
}

impl RegulariserKind for Alignment {
    fn check(&self, problems: &mut Problems) {
        check_weight(self.weight, problems);
        check_draws(self.draws, problems);
        check_truncation(problems, self.truncation);
        check_entropy(self.entropy, problems);
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn asks(&self) -> Offers {
        Offers::Velocity
    }

    fn needs_density(&self) -> bool {
        self.entropy > 0.0
    }

    fn begin<'a>(&'a self, given: Given<'a>) -> Result<Option<Box<dyn Regulariser + 'a>>> {
        let weighted = Weighted {
            weighting: self.weighting,
            truncation: self.truncation,
        };
        Ok(Some(Box::new(Loss {
            loss: WeightedLoss::new(weighted, given)?,
            draws: self.draws,
            entropy: self.entropy,
        })))
    }
}

struct Loss<'a> {
    loss: WeightedLoss<'a>,
    draws: usize,
    entropy: f64,
}

impl Regulariser for Loss<'_> {
    fn term(
        &self,
        Encoded {
            drawn, posterior, ..
        }: Encoded,
        rng: &mut Pcg64,
    ) -> Result<Tensor<1>> {
        let loss = self.loss.of(drawn.latents.clone(), self.draws, rng);
        Ok(less_entropy(loss, self.entropy, drawn, posterior))
    }
}
