//! A flow over sequences as a fitted sequence model.

use super::embedded::SequenceFlow;
use super::stored;
use crate::error::Result;
use crate::figures::pretrain_flow as names;
use crate::priors::of_sequences::{FittedSequences, Likelihoods, rows_of};
use crate::random::Streams;
use crate::sequences::Sequence;
use burn::module::Module;
use std::path::Path;

impl FittedSequences for SequenceFlow {
    fn parameters(&self) -> usize {
        self.module.num_params()
    }

    fn write(&self, dir: &Path) -> Result<()> {
        stored::write(self, dir)
    }

    fn likelihoods(&self, sequences: &[Sequence], streams: Streams) -> Result<Likelihoods> {
        let scored = self.score(sequences, streams)?;
        let numbers = sequences.len() * self.shape.elements();
        let nll = scored.iter().map(|scored| scored.nll).sum::<f64>() / numbers as f64;
        let bounds = scored.iter();
        let bounds = bounds.map(|scored| scored.bound.unwrap_or(f64::INFINITY));
        Ok(Likelihoods {
            bounds: bounds.collect(),
            besides: (names::EMBEDDED_NLL, nll),
        })
    }

    fn noisy_latents(&self, sequences: &[Sequence], streams: Streams) -> Result<Vec<f32>> {
        let rows = rows_of(&self.alphabet, sequences);
        let noise = self.fresh(&rows, streams).noise;
        Ok(self.carried(&rows, &noise)?.0)
    }
}
