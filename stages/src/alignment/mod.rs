//! The alignment loss and its weightings, and what tells alignment from collapse.

mod collapse;
mod config;
mod estimator;
#[cfg(test)]
pub(crate) mod known_targets;
mod loss;
mod marginal;
mod noise_rule;
mod power;
mod regulariser;
mod student;
mod two_sample;
mod weighting;

pub use collapse::{Spectrum, coverage, spectrum};
pub use config::RegulariserConfig;
pub use estimator::{Draws, Estimates, FEWEST_DRAWS, RULES};
pub use loss::{alignment_loss, alignment_times};
pub use marginal::{Marginal, marginal_distance};
pub use power::power;
pub use regulariser::Regulariser;
pub use two_sample::{TwoSample, energy_test};
pub use weighting::{TRUNCATION, Weighted, Weighting, check_truncation};
