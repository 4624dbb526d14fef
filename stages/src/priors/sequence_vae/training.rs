//! Training by the negative ELBO, with a warm-up of the divergence's weight.

use super::config::SequenceVae;
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
    pub config: &'a SequenceVae,
    pub alphabet: &'a Alphabet,
    pub batches: Shuffled<'a>,
    /// Rows [n, T].
    pub held_out: Vec<u32>,
    /// Whether the weight of the divergence rises from 0.
    pub warms_up: bool,
    pub streams: Streams,
}

impl Training<'_> {
    /// Reconstruction and weighted divergence, averaged over rows [n, T], equal shares of which are for `replicas`: `[1]`.
    fn loss(
        &self,
        replicas: &[&Network],
        rows: &[u32],
        weight: f64,
        (stream, step): (&str, u64),
    ) -> Tensor<1> {
        let n = rows.len() / self.alphabet.longest();
        let noise = (self.streams).normal(stream, step, n * self.config.latent);
        mean_over(replicas, |k, network| {
            let (rows, count) = (share(rows, k, replicas.len()), replicas.len());
            let posterior = network.read(rows);
            let z = posterior.draw(share(&noise, k, count).to_vec());
            let divergence = posterior.divergence().mul_scalar(weight);
            (network.reconstruction(rows, &z) + divergence).mean()
        })
    }
}

impl Task<Network, 1> for Training<'_> {
    const PART: &'static str = PART;
    const TERMS: [Term; 1] = [Term::LOSS];

    fn step(&mut self, replicas: &[&Network], step: u64) -> Result<Step<1>> {
        let rows = rows_of(self.alphabet, self.batches.at(step, self.streams));
        let weight = match self.warms_up {
            true => self.config.weight(step),
            false => self.config.kl_weight,
        };
        Ok(Step::of(self.loss(
            replicas,
            &rows,
            weight,
            ("latents", step),
        )))
    }

    fn evaluate(&mut self, averaged: &Network) -> Result<Option<HeldOut<1>>> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        let of = ("latents of held-out sequences", 0);
        let loss = self.loss(&[averaged], &self.held_out, self.config.kl_weight, of);
        Ok(Some(HeldOut::of(scalar(loss)?)))
    }
}
