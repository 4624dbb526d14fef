//! Shared encoding and decoding of sequence models with exact decoding.

use super::of_sequences::{require, rows_of};
use crate::error::{Error, Result};
use crate::sequences::{Alphabet, Sequence, SequenceModel};

/// Latents [n, T d] that `model` decodes to `sequences`. `make` computes latents of rows [n, T] in each of
/// `attempts`; those that decode to another sequence are computed again in the next attempt.
///
/// # Errors
/// An input error for a sequence of another alphabet; a numerical error, explained by `why`, if no attempt is left;
/// errors of `make`.
pub(super) fn exact_latents<A>(
    model: &dyn SequenceModel,
    sequences: &[Sequence],
    attempts: impl IntoIterator<Item = A>,
    why: &str,
    make: impl Fn(A, &[u32]) -> Result<Vec<f32>>,
) -> Result<Vec<f32>> {
    require(model.alphabet(), sequences)?;
    let size = model.tokens() * model.width();
    let mut latents = vec![0.0; sequences.len() * size];
    let mut left: Vec<usize> = (0..sequences.len()).collect();
    for attempt in attempts {
        let rows = rows_of(model.alphabet(), left.iter().map(|&i| &sequences[i]));
        let made = make(attempt, &rows)?;
        let decoded = model.decode(&made)?;
        let mut lost = Vec::new();
        for ((&i, made), decoded) in left.iter().zip(made.chunks_exact(size)).zip(decoded) {
            match decoded == sequences[i] {
                true => latents[i * size..][..size].copy_from_slice(made),
                false => lost.push(i),
            }
        }
        left = lost;
        if left.is_empty() {
            return Ok(latents);
        }
    }
    Err(Error::Numerical(format!(
        "the latent of `{}` does not decode to it in f32: {why}",
        model.text(&sequences[left[0]])
    )))
}

/// Refuses latents [n, T d] of rows of `elements` numbers that are not finite.
///
/// # Errors
/// An input error that names the row.
pub(super) fn require_finite(latents: &[f32], elements: usize) -> Result<()> {
    match latents.iter().position(|z| !z.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::input(format!(
            "found {} in latent {}, expected finite numbers",
            latents[at],
            at / elements
        ))),
    }
}

/// Sequences from tokens ordered by position: n tokens in each element of `by_place`.
pub(super) fn sequences_of_places(by_place: &[Vec<u32>]) -> Vec<Sequence> {
    let count = by_place.first().map_or(0, Vec::len);
    let row = |row: usize| {
        by_place
            .iter()
            .map(|tokens| tokens[row])
            .collect::<Vec<u32>>()
    };
    (0..count)
        .map(|i| Alphabet::sequence_of_row(&row(i)))
        .collect()
}
