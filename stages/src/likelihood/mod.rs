//! Statements about likelihoods: agreement, verdicts, importance weighting, hierarchies.

mod agreement;
mod config;
mod hierarchy;
mod importance;
mod verdict;

pub use agreement::{Agreement, agreement};
pub use config::Precision;
pub use hierarchy::Hierarchy;
pub use importance::{Weights, importance_weighted_nll};
pub use verdict::{THRESHOLDS, Verdict};
