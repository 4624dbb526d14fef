//! Likelihoods through the probability-flow ODE, and what they say about a surrogate.

mod agreement;
mod config;
mod importance;
mod probability_flow;
mod verdict;

pub use agreement::{Agreement, agreement};
pub use config::{Divergence, Precision};
pub use importance::importance_weighted_nll;
pub use probability_flow::{
    Likelihoods, MOST_INTERVALS, Solver, halving_check, negative_log_likelihood, nll_gradient,
    sample,
};
pub use verdict::{THRESHOLDS, Verdict};
