//! The interface of models whose latents represent sequences.

use super::{Alphabet, Sequence};
use crate::error::Result;
use crate::random::Streams;
use rand_pcg::Pcg64;
use std::path::Path;

/// Latents and costs of sequences under a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weighed {
    /// Latents [n, T d].
    pub latents: Vec<f32>,
    /// Costs, one per sequence.
    pub costs: Vec<Cost>,
}

/// How improbable a sequence is under a model: statistics of `-log p` in nats of each token given those before it,
/// including the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Of the least probable token.
    pub worst: f64,
    /// The mean over tokens.
    pub mean: f64,
}

impl Cost {
    /// From the costs of all tokens, at least one.
    pub fn of(each: &[f64]) -> Self {
        Self {
            worst: each.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            mean: each.iter().sum::<f64>() / each.len() as f64,
        }
    }

    /// From the costs `each` [n, T] of the tokens of `sequences`: up to the end of each sequence, included if it is
    /// not of maximum length.
    pub fn of_rows(each: &[f64], sequences: &[Sequence]) -> Vec<Self> {
        let longest = each.len() / sequences.len().max(1);
        let rows = each.chunks_exact(longest.max(1)).zip(sequences);
        rows.map(|(row, sequence)| Self::of(&row[..longest.min(sequence.len() + 1)]))
            .collect()
    }
}

/// A trained model that maps sequences to latents [n, T d] and back. All methods are deterministic.
pub trait SequenceModel: Send {
    /// T, the tokens of a latent; if there are several, token i belongs to position i of the sequence.
    fn tokens(&self) -> usize;

    /// d, the width of each.
    fn width(&self) -> usize;

    fn alphabet(&self) -> &Alphabet;

    /// The text of a sequence, as in its file.
    fn text(&self, sequence: &[u32]) -> String {
        self.alphabet().text(sequence)
    }

    /// The sequence of a text.
    ///
    /// # Errors
    /// An input error for a token that the vocabulary lacks, or a text that is too long.
    fn sequence(&self, text: &str) -> Result<Sequence> {
        self.alphabet().sequence(text, text, 1)
    }

    /// The latents [n, T d] of `sequences`.
    ///
    /// # Errors
    /// Device errors; a numerical error for a latent that is not finite.
    fn encode(&self, sequences: &[Sequence]) -> Result<Vec<f32>>;

    /// Latents and costs of `sequences`, faster than [`Self::encode`]: the latents are not verified by decoding.
    ///
    /// # Errors
    /// Device errors.
    fn weigh(&self, sequences: &[Sequence]) -> Result<Weighed>;

    /// Resamples, in each of `sequences`, the token at its position in `places` from the model given the tokens
    /// before it; later tokens stay, up to the first end. A position is at most the length of its sequence, and
    /// less than the maximum length.
    ///
    /// # Errors
    /// Device errors.
    fn redraw(
        &self,
        sequences: &[Sequence],
        places: &[usize],
        rng: &mut Pcg64,
    ) -> Result<Vec<Sequence>>;

    /// Decodes latents [n, T d]. Inverts [`Self::encode`] exactly, for a model with exact decoding.
    ///
    /// # Errors
    /// Device errors.
    fn decode(&self, latents: &[f32]) -> Result<Vec<Sequence>>;

    /// Continues training on `sequences`; random numbers are keyed by `round`.
    ///
    /// # Errors
    /// [`crate::Error::Diverged`]; [`crate::Error::Cancelled`] if `cancelled` returns true; device errors.
    fn refit(
        &mut self,
        sequences: &[Sequence],
        streams: Streams,
        round: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<()>;

    /// Writes the current weights to the file `path`.
    ///
    /// # Errors
    /// File errors.
    fn save(&self, path: &Path) -> Result<()>;

    /// Restores the weights that [`Self::save`] wrote to `path`.
    ///
    /// # Errors
    /// File errors; an input error for weights of another model.
    fn restore(&mut self, path: &Path) -> Result<()>;
}
