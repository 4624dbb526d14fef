//! Sequences of tokens: tokenisers, vocabularies, files; models whose latents represent sequences.
//!
//! A sequence is a row of tokens, numbered from 1; 0 is the end token. As a row of T numbers it is padded with end
//! tokens; a sequence of T tokens has none.

mod alphabet;
mod corpus;
mod found;
mod ids;
mod lines;
mod model;
mod pattern;
mod tokeniser;
mod uncut;

pub use alphabet::{Alphabet, END};
pub use corpus::{Corpus, SequenceSource};
pub use found::Found;
pub use model::{Cost, SequenceModel, Weighed};
pub use pattern::Pattern;
pub use tokeniser::Tokeniser;
pub use uncut::Uncut;

/// A sequence: its tokens as indices into a vocabulary, without padding.
pub type Sequence = Vec<u32>;
