//! Training by the mean of `-log p(x)`.

use super::network::Network;
use crate::error::Result;
use crate::priors::kind::PART;
use crate::priors::of_sequences::{Shuffled, rows_of};
use crate::random::Streams;
use crate::sequences::Alphabet;
use crate::tensors::scalar;
use crate::training::{HeldOut, Step, Task, Term, mean_over, share};
use burn::tensor::Tensor;

pub(super) struct Training<'a> {
    pub alphabet: &'a Alphabet,
    pub batches: Shuffled<'a>,
    /// Rows [n, T].
    pub held_out: Vec<u32>,
    pub streams: Streams,
}

/// The mean NLL `[1]` of rows [n, T], in nats.
fn loss(network: &Network, rows: &[u32]) -> Tensor<1> {
    network.each_token(rows).sum_dim(1).mean()
}

impl Task<Network, 1> for Training<'_> {
    const PART: &'static str = PART;
    const TERMS: [Term; 1] = [Term::LOSS];

    fn step(&mut self, replicas: &[&Network], step: u64) -> Result<Step<1>> {
        let rows = rows_of(self.alphabet, self.batches.at(step, self.streams));
        Ok(Step::of(mean_over(replicas, |k, network| {
            loss(network, share(&rows, k, replicas.len()))
        })))
    }

    fn evaluate(&mut self, averaged: &Network) -> Result<Option<HeldOut<1>>> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        let loss = loss(averaged, &self.held_out);
        Ok(Some(HeldOut::of(scalar(loss)?)))
    }
}
