//! An autoregressive model of sequences as a flow with exact decoding: the noise by which it draws its tokens is the latent.
//!
//! ```text
//! decoding:  a_j = -ln Phi(z_j),  the next token is argmin_j a_j / p_j             p = softmax(W LSTM(e_{x_1} .. e_{x_{i-1}}))
//! encoding:  a_x = p_x w,  a_j = p_j w + e_j for every other j,  z_j = Phi^-1(exp(-a_j))        w, e_j exponential
//! ```
//!
//! With z from N(0, I) the a_j are exponential, and the token that wins the race is j with probability p_j: the Gumbel-max
//! trick, -ln a_j being Gumbel noise (Maddison et al. 2014, "A* sampling"). Given who won, the race begins anew for the others after
//! the winner's time w, exponential too since the p_j sum to 1: that is the latent given the tokens, exactly (as in Oberst &
//! Sontag 2019, "Counterfactual off-policy evaluation with Gumbel-max structural causal models"). Likelihoods are
//! exact, sum of -ln p_x, and need no noise.
//!
//! What a SeqFlow has to learn, where one token's region ends and the next one begins, is given here.

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
