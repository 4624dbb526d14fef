//! Likelihoods through the probability-flow ODE, and what they say about a surrogate.

mod agreement;
mod bootstrap;
mod config;
mod importance;
mod ode;
mod probability_flow;
mod quadrature;
mod verdict;

pub use agreement::{Agreement, agreement};
pub use bootstrap::{Interval, bootstrap, mean, standard_error};
pub use config::{Divergence, Precision};
pub use importance::importance_weighted_nll;
pub use ode::{Tolerance, Trajectory, dormand_prince, halved, on_grid};
pub use probability_flow::{
    Likelihoods, Solver, halving_check, negative_log_likelihood, nll_gradient, sample,
};
pub use verdict::{THRESHOLDS, Verdict};
