//! SeqFlow: an autoregressive flow whose points stand for sequences of tokens (Lee et al. 2025, arXiv 2504.14889).
//!
//! A point [T, F] is a sequence of embedded tokens. Blocks follow each other from the data to the noise; in each, a context
//! reads the tokens before (an LSTM, or a causal transformer), and couplings inside each token carry it with the
//! non-linear squared map. The flow itself is a density over points of any origin; with an embedding it
//! carries sequences to latents and back.

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
