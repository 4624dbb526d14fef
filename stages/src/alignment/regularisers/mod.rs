//! The regularisers: what holds latents to a prior.
//!
//! A kind is a file of its own, which states its unit, and its lines in this one: `mod`, an arm of
//! [`RegulariserConfig`] and of [`RegulariserConfig::kind`], and an example in [`RegulariserConfig::examples`],
//! over which the conformance tests run.

mod alignment;
#[cfg(test)]
mod conformance;
mod distribution_matching;
mod flow_kl;
mod kind;
mod kl;
mod nll;
mod none;
mod weighted_loss;

pub use alignment::Alignment;
pub use distribution_matching::DistributionMatching;
pub use flow_kl::FlowKl;
pub use kind::{Against, Given, Regulariser, RegulariserKind};
pub use kl::Kl;
pub use nll::Nll;
pub use none::Nothing;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What holds latents to the prior.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RegulariserConfig {
    /// Nothing.
    None(Nothing),
    /// KL(q(z|x) || N(0, I)) of a row's posterior in nats, over the elements of the row of data: with a
    /// reconstruction in nats an element, weight 1 is the ELBO of a VAE.
    Kl(Kl),
    /// KL(q(z|x) || flow), the entropy of the posterior against the likelihood-weighted loss of its
    /// draws, over the elements of the row of data: with a reconstruction in nats an element, weight 1
    /// is the ELBO of a VAE whose prior is the flow (Vahdat et al. 2021, arXiv 2106.05931). The
    /// entropy keeps latents from contracting onto modes.
    FlowKl(FlowKl),
    /// The alignment loss under the frozen flow, mean over elements (Li et al.). It has no entropy
    /// term, unless it is given one: a large weight contracts latents onto modes.
    Alignment(Alignment),
    /// The exact NLL of latents under the prior, or under that of another experiment over the same features, mean
    /// over elements in nats: in closed form at the cost of one pass, for flow matching through every step of its
    /// ODE, which costs hundreds. It has no entropy term either, unless it is given one.
    Nll(Nll),
    /// Distribution matching: the alignment loss less that of a student flow, which learns the latents online, of
    /// whole rows or of tokens. The student's loss is an entropy term: it pushes latents apart where they are too
    /// dense (Yin et al. 2024, arXiv 2311.18828).
    DistributionMatching(DistributionMatching),
}

impl Default for RegulariserConfig {
    fn default() -> Self {
        Self::None(Nothing {})
    }
}

impl RegulariserConfig {
    /// The kind as what it does.
    pub fn kind(&self) -> &dyn RegulariserKind {
        match self {
            Self::None(config) => config,
            Self::Kl(config) => config,
            Self::FlowKl(config) => config,
            Self::Alignment(config) => config,
            Self::Nll(config) => config,
            Self::DistributionMatching(config) => config,
        }
    }

    /// An example of each kind: what the conformance tests run over.
    pub fn examples() -> Vec<Self> {
        vec![
            Self::None(Nothing {}),
            Self::Kl(Kl::default()),
            Self::FlowKl(FlowKl::default()),
            Self::Alignment(Alignment::default()),
            Self::Nll(Nll::default()),
            Self::DistributionMatching(DistributionMatching::default()),
        ]
    }

    /// The key for the file of another experiment whose prior it takes, where it has one.
    pub fn experiment(&mut self) -> Option<&mut Option<PathBuf>> {
        match self {
            Self::Nll(config) => Some(&mut config.prior),
            _ => None,
        }
    }

    /// Its name, as in `kind: NAME`.
    pub fn name(&self) -> String {
        let value = serde_json::to_value(self).expect("plain data serialises");
        let kind = value.get("kind").and_then(|kind| kind.as_str());
        kind.expect("an internally tagged enum").to_owned()
    }
}
