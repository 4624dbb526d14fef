//! What holds latents to the prior.

use super::weighting::Weighting;
use crate::problems::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What holds latents to the prior.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RegulariserConfig {
    /// Nothing.
    #[default]
    None,
    /// KL(q(z|x) || N(0, I)) of a Gaussian posterior, mean over elements.
    Kl {
        /// Factor on the term.
        #[serde(default = "default_weight")]
        weight: f64,
    },
    /// The alignment loss under the frozen flow, mean over elements (Li et al.).
    Alignment {
        /// Factor on the term.
        #[serde(default = "default_weight")]
        weight: f64,
        /// The weighting w(t) of the loss.
        #[serde(default)]
        weighting: Weighting,
        /// (t, noise) draws a token: noise independent, times stratified over the batch.
        #[serde(default = "default_draws")]
        draws: usize,
    },
}

fn default_weight() -> f64 {
    0.01
}

fn default_draws() -> usize {
    4
}

impl RegulariserConfig {
    /// Notes every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        match self {
            Self::None => {}
            Self::Kl { weight } => check_weight(*weight, problems),
            Self::Alignment { weight, draws, .. } => {
                check_weight(*weight, problems);
                problems.require(
                    (1..=4096).contains(draws),
                    "draws",
                    draws,
                    "1 to 4096 draws a token",
                );
            }
        }
    }
}

fn check_weight(weight: f64, problems: &mut Problems) {
    problems.require(
        weight >= 0.0 && weight.is_finite(),
        "weight",
        weight,
        "zero or a positive number such as 0.01",
    );
}
