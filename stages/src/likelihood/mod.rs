//! Likelihoods under a flow, and what they say about a surrogate.

mod agreement;
mod ode;
mod probability_flow;

pub use agreement::{Agreement, Interval, agreement, mean, standard_error};
pub use ode::{OdeState, Solution, Tolerance, dormand_prince};
pub use probability_flow::{Likelihoods, negative_log_likelihood, sample};
