//! Sequences of tokens, and models whose latents stand for them.

mod model;

pub use model::SequenceModel;

/// A sequence: its tokens as indices into a vocabulary, without what fills it up to the longest.
pub type Sequence = Vec<u32>;
