//! The alignment loss and its weightings, and what tells alignment from collapse.

mod collapse;
mod config;
mod estimator;
mod loss;
mod noise_rule;
mod regulariser;
mod weighting;

pub use collapse::{Comparison, Spectrum, compare, spectrum};
pub use config::RegulariserConfig;
pub use estimator::{Draws, Estimates};
pub use loss::alignment_loss;
pub use regulariser::penalty;
pub use weighting::{TRUNCATION, Weighted, Weighting, check_truncation};
