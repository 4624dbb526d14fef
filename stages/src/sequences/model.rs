//! What is asked of a model whose latents stand for sequences.

use super::Sequence;
use crate::error::Result;
use crate::random::Streams;
use std::path::Path;

/// A trained model that carries sequences to latents [n, T d] and back. Equal arguments give equal results.
pub trait SequenceModel: Send {
    /// T, the tokens of a latent: position i of a sequence is in the i-th where there are several.
    fn tokens(&self) -> usize;

    /// d, the width of each.
    fn width(&self) -> usize;

    /// The text of a sequence, as its file has it.
    fn text(&self, sequence: &[u32]) -> String;

    /// The sequence of a text.
    ///
    /// # Errors
    /// An input error for a token that the vocabulary lacks, or a text longer than the longest.
    fn sequence(&self, text: &str) -> Result<Sequence>;

    /// The latents [n, T d] of `sequences`.
    ///
    /// # Errors
    /// Device errors; a numerical error for a latent that is not finite.
    fn encode(&self, sequences: &[Sequence]) -> Result<Vec<f32>>;

    /// The sequence of each of the latents [n, T d]. Exact on what [`Self::encode`] gives, for a model with exact decoding.
    ///
    /// # Errors
    /// Device errors.
    fn decode(&self, latents: &[f32]) -> Result<Vec<Sequence>>;

    /// Goes on training on `sequences`, what is random in it being of `round`.
    ///
    /// # Errors
    /// [`crate::Error::Diverged`]; [`crate::Error::Cancelled`] where `cancelled` says so; device errors.
    fn refit(
        &mut self,
        sequences: &[Sequence],
        streams: Streams,
        round: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<()>;

    /// Writes the weights as they are after refits to the file `path`.
    ///
    /// # Errors
    /// File errors.
    fn save(&self, path: &Path) -> Result<()>;

    /// Takes the weights that [`Self::save`] wrote to `path`.
    ///
    /// # Errors
    /// File errors; an input error for weights of another model.
    fn restore(&mut self, path: &Path) -> Result<()>;
}
