//! Configuration of the stage.

use crate::alignment::{TRUNCATION, Weighted, Weighting, check_draws, check_truncation};
use crate::error::{Error, Result};
use crate::priors::{Divergence, NllOptions, Prior, VelocityField};
use crate::problems::Problems;
use crate::random::Streams;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Maximum number of importance samples per row.
const MOST_SAMPLES: usize = 100_000;

/// The likelihood of test data under the whole model: the prior's own for a prior over data, the
/// importance-weighted one for an autoencoder with noise in its latents. Figures have the same names for every
/// model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "EvaluateLikelihood")]
pub struct Config {
    /// Maximum number of test rows, evenly spaced.
    pub rows: usize,
    /// For an autoencoder, importance samples S per row: 1 for the negative ELBO, more to approach the NLL. Time
    /// grows with S, memory does not.
    pub samples: usize,
    /// How log-densities of the prior are computed.
    pub by: By,
    /// With `by: bound`, (t, noise) draws shared by all points.
    pub draws: usize,
    /// With `by: bound`, the largest ratio R = t / (1 - t).
    pub truncation: f64,
    /// Tolerance of an NLL in nats, if it needs an ODE.
    pub tolerance: f64,
    /// How the divergence of a velocity is evaluated, if an ODE is solved.
    pub divergence: Divergence,
}

/// How log-densities of a prior are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The prior's own NLL: in closed form, or by the ODE of a flow-matching model.
    #[default]
    Nll,
    /// The likelihood-weighted bound of a flow-matching model.
    Bound,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rows: 1000,
            samples: 1000,
            by: By::Nll,
            draws: 512,
            truncation: TRUNCATION,
            tolerance: 1e-3,
            divergence: Divergence::Exact,
        }
    }
}

impl Config {
    /// Reports every value out of range.
    pub(super) fn check_values(&self, problems: &mut Problems) {
        problems.at_least("rows", self.rows, 2);
        problems.require(
            (1..=MOST_SAMPLES).contains(&self.samples),
            "samples",
            self.samples,
            &format!("1 to {MOST_SAMPLES} importance samples per row, such as 1000"),
        );
        check_draws(problems, self.draws);
        check_truncation(problems, self.truncation);
        problems.require(
            (1e-7..=1.0).contains(&self.tolerance),
            "tolerance",
            self.tolerance,
            "[1e-7, 1] such as 1e-3",
        );
        problems.section("divergence", |p| self.divergence.check(p));
    }

    /// The options for NLLs, with probes from `streams`.
    pub(super) fn nll(&self, streams: Streams) -> NllOptions {
        NllOptions {
            tolerance: self.tolerance,
            divergence: self.divergence,
            streams,
        }
    }

    /// The weighting of the bound.
    pub(super) fn weighted(&self) -> Weighted {
        Weighted {
            weighting: Weighting::Likelihood,
            truncation: self.truncation,
        }
    }
}

/// The velocity of `prior` for the bound.
pub(super) fn velocity(prior: &dyn Prior) -> Result<&dyn VelocityField> {
    prior.velocity().ok_or_else(|| {
        Error::input(
            "evaluate_likelihood.by: found bound, with a prior that has no velocity, expected nll",
        )
    })
}
