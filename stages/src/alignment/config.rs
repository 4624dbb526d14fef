//! What holds latents to the prior.

use super::weighting::{TRUNCATION, Weighted, Weighting, check_truncation};
use crate::priors::Offers;
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
    /// KL(q(z|x) || N(0, I)) of a row's Gaussian posterior in nats, over the elements of the row of
    /// data: with a reconstruction in nats an element, weight 1 is the ELBO of a VAE.
    Kl {
        /// Factor on the term: the beta of a beta-VAE.
        #[serde(default = "one")]
        weight: f64,
    },
    /// KL(q(z|x) || flow), the entropy of the posterior against the likelihood-weighted loss of its
    /// draws, over the elements of the row of data: with a reconstruction in nats an element, weight 1
    /// is the ELBO of a VAE whose prior is the flow (Vahdat et al. 2021, arXiv 2106.05931). The
    /// entropy keeps latents from contracting onto modes.
    FlowKl {
        /// Factor on the term: the beta of a beta-VAE.
        #[serde(default = "one")]
        weight: f64,
        /// (t, noise) draws a token.
        #[serde(default = "default_draws")]
        draws: usize,
        /// The largest ratio R = t / (1 - t).
        #[serde(default = "default_truncation")]
        truncation: f64,
    },
    /// The alignment loss under the frozen flow, mean over elements (Li et al.). It has no entropy
    /// term: a large weight contracts latents onto modes.
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
        /// The largest ratio R = t / (1 - t) of the likelihood weighting.
        #[serde(default = "default_truncation")]
        truncation: f64,
    },
    /// The exact NLL of latents under the prior, mean over elements in nats, for a prior whose NLL can be
    /// differentiated: in closed form at the cost of one pass, for flow matching through every step of its
    /// ODE, which costs hundreds. It has no entropy term either.
    Nll {
        /// Factor on the term.
        #[serde(default = "default_weight")]
        weight: f64,
        /// The tolerance of an NLL in nats, where an ODE is solved for it.
        #[serde(default = "default_tolerance")]
        tolerance: f64,
    },
    /// Distribution matching: a student flow learns the latents online, and their gradient is the
    /// difference between its velocity and the frozen flow's; no Jacobian; the student
    /// pushes latents apart where they are too dense (Yin et al. 2024, arXiv 2311.18828).
    DistributionMatching {
        /// Factor on the term.
        #[serde(default = "default_weight")]
        weight: f64,
        /// (t, noise) draws a token.
        #[serde(default = "default_draws")]
        draws: usize,
        /// Flow-matching steps of the student for each step of the autoencoder.
        #[serde(default = "default_student_steps")]
        student_steps: usize,
        /// The student's learning rate.
        #[serde(default = "default_student_learning_rate")]
        student_learning_rate: f64,
    },
}

fn one() -> f64 {
    1.0
}

fn default_weight() -> f64 {
    0.01
}

fn default_draws() -> usize {
    4
}

fn default_truncation() -> f64 {
    TRUNCATION
}

fn default_tolerance() -> f64 {
    1e-2
}

fn default_student_steps() -> usize {
    2
}

fn default_student_learning_rate() -> f64 {
    1e-3
}

impl RegulariserConfig {
    /// Notes every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        if !matches!(self, Self::None) {
            let weight = self.weight();
            problems.not_negative("weight", weight, "0.01");
        }
        if let Self::Alignment { draws, .. }
        | Self::FlowKl { draws, .. }
        | Self::DistributionMatching { draws, .. } = self
        {
            problems.require(
                (1..=4096).contains(draws),
                "draws",
                draws,
                "1 to 4096 draws a token",
            );
        }
        if let Self::Alignment { truncation, .. } | Self::FlowKl { truncation, .. } = self {
            check_truncation(problems, *truncation);
        }
        if let Self::Nll { tolerance, .. } = self {
            problems.require(
                (1e-7..=1.0).contains(tolerance),
                "tolerance",
                tolerance,
                "[1e-7, 1] such as 1e-2",
            );
        }
        if let Self::DistributionMatching {
            student_steps,
            student_learning_rate: rate,
            ..
        } = self
        {
            problems.within("student_steps", *student_steps, 1..=1000);
            problems.positive("student_learning_rate", *rate, "1e-3");
        }
    }

    /// The factor on the term.
    pub fn weight(&self) -> f64 {
        match *self {
            Self::None => 0.0,
            Self::Kl { weight }
            | Self::FlowKl { weight, .. }
            | Self::Alignment { weight, .. }
            | Self::Nll { weight, .. }
            | Self::DistributionMatching { weight, .. } => weight,
        }
    }

    /// The weighted loss it is made of, if it is.
    pub fn weighted(&self) -> Option<Weighted> {
        match *self {
            Self::Alignment {
                weighting,
                truncation,
                ..
            } => Some(Weighted {
                weighting,
                truncation,
            }),
            Self::FlowKl { truncation, .. } => Some(Weighted {
                weighting: Weighting::Likelihood,
                truncation,
            }),
            _ => None,
        }
    }

    /// True if the term needs a posterior with noise.
    pub fn needs_noise(&self) -> bool {
        matches!(self, Self::Kl { .. } | Self::FlowKl { .. })
    }

    /// What it asks of a prior.
    pub fn asks(&self) -> Offers {
        match self {
            Self::None | Self::Kl { .. } | Self::Nll { .. } => Offers::Density,
            Self::Alignment { .. } | Self::FlowKl { .. } => Offers::Velocity,
            Self::DistributionMatching { .. } => Offers::Network,
        }
    }

    /// True if the term moves latents towards the flow.
    pub fn follows_flow(&self) -> bool {
        !matches!(self, Self::None | Self::Kl { .. })
    }
}
