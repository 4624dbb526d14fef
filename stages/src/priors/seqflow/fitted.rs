//! A flow over sequences as a model that was fitted to them.

use super::embedded::SequenceFlow;
use super::stored;
use crate::error::Result;
use crate::figures::pretrain_flow as names;
use crate::priors::of_sequences::{FittedSequences, rows_of};
use crate::random::Streams;
use crate::sequences::{Alphabet, Sequence};
use burn::module::Module;
use std::path::Path;

impl FittedSequences for SequenceFlow {
    fn alphabet(&self) -> &Alphabet {
        &self.alphabet
    }

    fn parameters(&self) -> usize {
        self.module.num_params()
    }

    fn write(&self, dir: &Path) -> Result<()> {
        stored::write(self, dir)
    }

    fn bounds(&self, sequences: &[Sequence], streams: Streams) -> Result<Vec<f64>> {
        let scored = self.score(sequences, streams)?.into_iter();
        Ok(scored
            .map(|scored| scored.bound.unwrap_or(f64::INFINITY))
            .collect())
    }

    fn noisy_latents(&self, sequences: &[Sequence], streams: Streams) -> Result<Vec<f32>> {
        let rows = rows_of(&self.alphabet, sequences);
        let noise = self.fresh(&rows, streams).noise;
        Ok(self.carried(&rows, &noise)?.0)
    }

    fn more(&self, sequences: &[Sequence], streams: Streams) -> Result<Vec<(&'static str, f64)>> {
        let scored = self.score(sequences, streams)?;
        let numbers = sequences.len() * self.shape.elements();
        let nll = scored.iter().map(|scored| scored.nll).sum::<f64>() / numbers as f64;
        Ok(vec![(names::EMBEDDED_NLL, nll)])
    }
}
