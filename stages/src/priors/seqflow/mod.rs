//! SeqFlow: an autoregressive flow whose points represent sequences of tokens (Lee et al. 2025, arXiv 2504.14889).
//!
//! A point [T, F] is a sequence of embedded tokens. Blocks are ordered from data to noise. In each, a context
//! network reads the preceding tokens (an LSTM or a causal transformer), and couplings inside each token transform
//! it with the non-linear squared map. The flow itself is a density over points of any origin; with an embedding it
//! maps sequences to latents and back.

mod block;
mod config;
mod context;
mod coupling;
mod embedded;
mod embedding;
mod fitted;
mod kind;
mod lstm;
mod network;
mod squared;
mod start;
mod stored;
#[cfg(test)]
mod tests;
mod transformer;

pub use config::SeqFlow;
pub use embedded::{Scored, SequenceFlow};
pub use embedding::EmbeddingConfig;
