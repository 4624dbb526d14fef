//! Autoregressive flows over tokens: transformers that map points [n, T, d] to noise in one pass, and back one
//! token at a time (TarFlow, Zhai et al. 2024, arXiv 2412.06329; STARFlow, Gu et al. 2025, arXiv 2506.06276).
//!
//! Blocks are ordered from data to noise; every second block reads the tokens in reverse.

mod affine;
mod block;
mod design;
mod dropout;
mod guidance;
mod network;
mod reader;
mod rotary;
mod starflow;
mod steps;
mod tarflow;
#[cfg(test)]
mod tests;
mod transformer;

pub(super) use dropout::Dropout;
pub use starflow::StarFlow;
pub use steps::TarFlowSteps;
pub use tarflow::TarFlow;
pub(super) use transformer::{Layer, Seen};
