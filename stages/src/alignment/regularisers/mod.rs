//! Regularisers, which match latents to a prior.
//!
//! A new kind is a file of its own, which documents the unit of its weight, and a few lines in this one: `mod`,
//! an arm of [`RegulariserConfig`] and of [`RegulariserConfig::kind`], and an example in
//! [`RegulariserConfig::examples`], over which the conformance tests run.

mod alignment;
#[cfg(test)]
mod conformance;
mod distribution_matching;
mod energy;
mod features;
mod flow_kl;
mod kind;
mod kl;
mod latents;
mod mmd;
mod nll;
mod none;
mod samples;
mod sampling;
mod sliced_wasserstein;
#[cfg(test)]
mod tests;
mod weighted_loss;

use crate::problems::kind_of;
pub use alignment::Alignment;
pub use distribution_matching::DistributionMatching;
pub use energy::Energy;
pub use features::Features;
pub use flow_kl::FlowKl;
pub use kind::{Against, Encoded, Given, Regulariser, RegulariserKind};
pub use kl::Kl;
pub use mmd::Mmd;
pub use nll::Nll;
pub use none::Nothing;
pub use sampling::Sampling;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use sliced_wasserstein::SlicedWasserstein;
use std::path::PathBuf;

/// How latents are matched to the prior.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RegulariserConfig {
    /// No regulariser.
    None(Nothing),
    /// KL(q(z|x) || N(0, I)) in nats per element of data: with a reconstruction in nats per element, weight 1 is
    /// the ELBO of a VAE.
    Kl(Kl),
    /// KL(q(z|x) || flow) in nats per element of data: the likelihood-weighted loss of draws minus the
    /// posterior's entropy. With a reconstruction in nats per element, weight 1 is the ELBO of a VAE with the
    /// flow as prior (Vahdat et al. 2021, arXiv 2106.05931). The entropy keeps latents from contracting onto
    /// modes.
    FlowKl(FlowKl),
    /// The alignment loss under the frozen flow, mean over elements of latents (Li et al.). It has no entropy
    /// term unless `entropy` is set: a large weight contracts latents onto modes.
    Alignment(Alignment),
    /// The exact NLL of latents in nats per element, under the prior or under that of another experiment over the
    /// same features: in closed form at the cost of one pass, or for flow matching through every step of its ODE,
    /// which costs hundreds. It has no entropy term unless `entropy` is set.
    Nll(Nll),
    /// Distribution matching: the alignment loss minus that of a student flow, which is trained online on latents
    /// of whole rows or of tokens. The student's loss acts as an entropy term: it pushes latents apart where they
    /// are too dense (Yin et al. 2024, arXiv 2311.18828).
    DistributionMatching(DistributionMatching),
    /// The energy distance to minibatches of the target's features, without a flow (Szekely and Rizzo 2013).
    Energy(Energy),
    /// The sliced Wasserstein distance to minibatches of the target's features, without a flow (Kolouri et al. 2018,
    /// arXiv 1804.01947).
    SlicedWasserstein(SlicedWasserstein),
    /// The maximum mean discrepancy to minibatches of the target's features, without a flow (Gretton et al. 2012;
    /// Tolstikhin et al. 2017, arXiv 1711.01558).
    Mmd(Mmd),
    /// Explicit feature alignment: a cosine or smooth-L1 distance between a token and a classifier's features of the
    /// same row (Yu et al. 2024, arXiv 2410.06940; Yao et al. 2025, arXiv 2501.01423). It does not use the prior.
    Features(Features),
}

impl Default for RegulariserConfig {
    fn default() -> Self {
        Self::None(Nothing {})
    }
}

impl RegulariserConfig {
    /// The configuration as a trait object.
    pub fn kind(&self) -> &dyn RegulariserKind {
        match self {
            Self::None(config) => config,
            Self::Kl(config) => config,
            Self::FlowKl(config) => config,
            Self::Alignment(config) => config,
            Self::Nll(config) => config,
            Self::DistributionMatching(config) => config,
            Self::Energy(config) => config,
            Self::SlicedWasserstein(config) => config,
            Self::Mmd(config) => config,
            Self::Features(config) => config,
        }
    }

    /// An example of each kind, used by the conformance tests.
    pub fn examples() -> Vec<Self> {
        vec![
            Self::None(Nothing {}),
            Self::Kl(Kl::default()),
            Self::FlowKl(FlowKl::default()),
            Self::Alignment(Alignment::default()),
            Self::Nll(Nll::default()),
            Self::DistributionMatching(DistributionMatching::default()),
            Self::Energy(Energy::default()),
            Self::SlicedWasserstein(SlicedWasserstein::default()),
            Self::Mmd(Mmd::default()),
            Self::Features(Features::default()),
        ]
    }

    /// The key of another experiment's file whose prior or classifier is used, if the kind has one.
    pub fn experiment(&mut self) -> Option<&mut Option<PathBuf>> {
        match self {
            Self::Nll(config) => Some(&mut config.prior),
            Self::Features(config) => Some(&mut config.classifier),
            _ => None,
        }
    }

    /// Name of the kind, as in `kind: NAME`.
    pub fn name(&self) -> String {
        kind_of(self)
    }
}
