//! An autoregressive sequence model as a flow with exact decoding: the latent is the noise used to draw the tokens.
//!
//! ```text
//! decoding:  a_j = -ln Phi(z_j),  the next token is argmin_j a_j / p_j             p = softmax(W LSTM(e_{x_1} .. e_{x_{i-1}}))
//! encoding:  a_x = p_x w,  a_j = p_j w + e_j for every other j,  z_j = Phi^-1(exp(-a_j))        w, e_j exponential
//! ```
//!
//! With z from N(0, I), the a_j are exponential, and token j wins the race with probability p_j. This is the
//! Gumbel-max trick, since -ln a_j is Gumbel noise (Maddison et al. 2014, "A* sampling"). Given the winner, the
//! race of the others restarts at the winner's time w, which is exponential too since the p_j sum to 1. This gives
//! the exact posterior of the latent given the tokens (as in Oberst & Sontag 2019, "Counterfactual off-policy
//! evaluation with Gumbel-max structural causal models"). Likelihoods are exact, sum of -ln p_x, and need no noise.
//!
//! Unlike in SeqFlow, the boundaries between the tokens' regions need not be learnt.

mod config;
mod fitted;
mod model;
mod network;
mod race;
#[cfg(test)]
mod tests;
mod training;

pub use config::GumbelMax;
pub use model::{FILE, GumbelMaxModel};
