//! The alignment loss, its weightings, and the regularisers that match latents to a prior.

mod estimator;
#[cfg(test)]
pub(crate) mod known_targets;
mod loss;
mod noise_rule;
mod regularisers;
mod student;
mod weighting;

pub use estimator::{Draws, Estimates, RULES, check_draws};
pub use loss::{alignment_loss, alignment_times};
pub use regularisers::{
    Against, Alignment, DistributionMatching, Encoded, Energy, Features, FlowKl, Given, Kl, Mmd,
    Nll, Nothing, Regulariser, RegulariserConfig, RegulariserKind, Sampling, SlicedWasserstein,
};
pub use weighting::{TRUNCATION, Weighted, Weighting, check_truncation};
