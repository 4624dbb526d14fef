//! What is asked of a model whose latents stand for sequences.

use super::{Alphabet, Sequence};
use crate::error::Result;
use crate::random::Streams;
use rand_pcg::Pcg64;
use std::path::Path;

/// What a model holds of some sequences.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weighed {
    /// Their latents [n, T d].
    pub latents: Vec<f32>,
    /// How improbable each is.
    pub costs: Vec<Cost>,
}

/// How improbable a sequence is to a model: of `-log p` of each token given those before it, the end among them, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Of the least probable token.
    pub worst: f64,
    /// The mean over tokens.
    pub mean: f64,
}

impl Cost {
    /// Of tokens that cost `each`, one at least.
    pub fn of(each: &[f64]) -> Self {
        Self {
            worst: each.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            mean: each.iter().sum::<f64>() / each.len() as f64,
        }
    }

    /// Of `sequences` whose tokens cost `each`, [n, T]: up to the end of each, which counts where there is room for it.
    pub fn of_rows(each: &[f64], sequences: &[Sequence]) -> Vec<Self> {
        let longest = each.len() / sequences.len().max(1);
        let rows = each.chunks_exact(longest.max(1)).zip(sequences);
        rows.map(|(row, sequence)| Self::of(&row[..longest.min(sequence.len() + 1)]))
            .collect()
    }
}

/// A trained model that carries sequences to latents [n, T d] and back. Equal arguments give equal results.
pub trait SequenceModel: Send {
    /// T, the tokens of a latent: position i of a sequence is in the i-th where there are several.
    fn tokens(&self) -> usize;

    /// d, the width of each.
    fn width(&self) -> usize;

    /// What its sequences are made of.
    fn alphabet(&self) -> &Alphabet;

    /// The text of a sequence, as its file has it.
    fn text(&self, sequence: &[u32]) -> String {
        self.alphabet().text(sequence)
    }

    /// The sequence of a text.
    ///
    /// # Errors
    /// An input error for a token that the vocabulary lacks, or a text longer than the longest.
    fn sequence(&self, text: &str) -> Result<Sequence> {
        self.alphabet().sequence(text, text, 1)
    }

    /// The latents [n, T d] of `sequences`.
    ///
    /// # Errors
    /// Device errors; a numerical error for a latent that is not finite.
    fn encode(&self, sequences: &[Sequence]) -> Result<Vec<f32>>;

    /// What the model holds of `sequences`, faster than [`Self::encode`]: the latents are not decoded again to see that they
    /// are theirs.
    ///
    /// # Errors
    /// Device errors.
    fn weigh(&self, sequences: &[Sequence]) -> Result<Weighed>;

    /// Each of `sequences` with the token at its place in `places` drawn anew as the model has it after the tokens before; those
    /// behind it stay, up to the first end. A place is at most the length of its sequence, and below the longest.
    ///
    /// # Errors
    /// Device errors.
    fn redraw(
        &self,
        sequences: &[Sequence],
        places: &[usize],
        rng: &mut Pcg64,
    ) -> Result<Vec<Sequence>>;

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
