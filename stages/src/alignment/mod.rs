//! The alignment loss and its weightings, and what tells alignment from collapse.

mod config;
mod estimator;
#[cfg(test)]
pub(crate) mod known_targets;
mod loss;
mod noise_rule;
mod regulariser;
mod student;
mod weighting;

pub use config::RegulariserConfig;
pub use estimator::{Draws, Estimates, FEWEST_DRAWS, RULES};
pub use loss::{alignment_loss, alignment_times};
pub use regulariser::Regulariser;
pub use weighting::{TRUNCATION, Weighted, Weighting, check_truncation};
