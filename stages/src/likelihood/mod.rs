//! Likelihoods through the probability-flow ODE, and what they say about a surrogate.

mod agreement;
mod config;
mod importance;
mod jackknife;
mod ode;
mod probability_flow;
mod quadrature;
mod rmse;
mod statistics;
mod verdict;

pub use agreement::{Agreement, agreement};
pub use config::{Divergence, Precision};
pub use importance::importance_weighted_nll;
pub use jackknife::{Interval, Kept, Scale, intervals};
pub use ode::{Tolerance, Trajectory, dormand_prince, halved, on_grid};
pub use probability_flow::{
    Likelihoods, MOST_INTERVALS, Solver, halving_check, negative_log_likelihood, nll_gradient,
    sample,
};
pub use statistics::{mean, standard_error, student};
pub use verdict::{THRESHOLDS, Verdict};
