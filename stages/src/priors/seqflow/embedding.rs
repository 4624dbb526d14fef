//! Tokens as vectors: a table of unit rows, noise around them, and the nearest row again.

use super::start::drawn;
use crate::error::Result;
use crate::problems::Problems;
use crate::random::Streams;
use crate::tensors::{from_f32, to_f32};
use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};
use rand::RngExt;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How tokens of sequences become points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EmbeddingConfig {
    /// F, the numbers of an embedded token.
    pub width: usize,
    /// The standard deviation of the noise around the embedding of a token, whose length is 1. Noise that reaches the other
    /// tokens leaves no gaps between them, in which a flow has to learn that nothing is.
    pub noise: f64,
    /// The weight of the similarity loss, which keeps the embeddings of different tokens apart; 0 for none.
    pub similarity: f64,
}

impl Default for EmbeddingConfig {
    fn default() -> Self {
        Self {
            width: 8,
            noise: 1.0,
            similarity: 10.0,
        }
    }
}

impl EmbeddingConfig {
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.within("width", self.width, 2..=4096);
        problems.positive("noise", self.noise, "1");
        problems.not_negative("similarity", self.similarity, "10");
    }
}

/// Draws of noise after which a token is left without: among 79 tokens of width 8 some accept 3 % of noise as wide as they are long.
const MOST_DRAWS: usize = 1000;

/// A table of embeddings: row i, at length 1, is token i.
#[derive(Module, Debug)]
pub(super) struct Embedding {
    table: Param<Tensor<2>>,
}

impl Embedding {
    /// A table [V, F] drawn from N(0, 1).
    pub fn new([tokens, width]: [usize; 2], streams: Streams, device: &Device) -> Self {
        let zeros = Param::from_tensor(Tensor::zeros([tokens, width], device));
        let table = drawn(&zeros, "embeddings", 0, streams);
        Self { table }.set_require_grad(true)
    }

    /// The rows at length 1, [V, F].
    pub fn rows(&self) -> Tensor<2> {
        let table = self.table.val();
        let length = table.clone().square().sum_dim(1).sqrt();
        table / length
    }

    /// The same on the host.
    ///
    /// # Errors
    /// Device errors.
    pub fn on_host(&self) -> Result<HostTable> {
        let rows = self.rows();
        let [_, width] = rows.dims();
        Ok(HostTable {
            rows: to_f32(rows)?,
            width,
        })
    }

    /// The embeddings of `tokens`: [n, F].
    pub fn of(&self, tokens: &[u32]) -> Tensor<2> {
        let rows = self.rows();
        let tokens: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
        let tokens = Tensor::<1, Int>::from_data(&tokens[..], &rows.device());
        rows.select(0, tokens)
    }
}

/// The rows of a table, [V, F].
#[derive(Debug, Clone)]
pub(super) struct HostTable {
    rows: Vec<f32>,
    width: usize,
}

/// Noise around tokens.
#[derive(Debug, Clone)]
pub(super) struct Dequantised {
    /// What is added to the embedding of each token, [n, F].
    pub noise: Vec<f32>,
    /// How often noise was drawn for each.
    pub draws: Vec<u32>,
}

impl HostTable {
    /// The embedding of a token.
    fn row(&self, token: u32) -> &[f32] {
        &self.rows[token as usize * self.width..][..self.width]
    }

    /// The token whose embedding has the largest cosine with `v`, the first of equal ones.
    pub fn nearest(&self, v: &[f32]) -> u32 {
        let mut best = (0, f32::NEG_INFINITY);
        for (token, row) in self.rows.chunks_exact(self.width).enumerate() {
            let along: f32 = row.iter().zip(v).map(|(a, b)| a * b).sum();
            if along > best.1 {
                best = (token as u32, along);
            }
        }
        best.0
    }

    /// Noise of `scale` around each of `tokens`, drawn again where it decodes to another token, and none where
    /// it still does after 1,000 draws; so that embedding and noise always decode to their token. `next` gives the noise of
    /// a token and of a draw.
    pub fn dequantise(
        &self,
        tokens: &[u32],
        scale: f32,
        mut next: impl FnMut(usize, usize, &mut [f32]),
    ) -> Dequantised {
        let width = self.width;
        let mut noise = vec![0.0; tokens.len() * width];
        let mut v = vec![0.0; width];
        let mut draws = Vec::with_capacity(tokens.len());
        for (place, (&token, noise)) in tokens.iter().zip(noise.chunks_exact_mut(width)).enumerate()
        {
            let accepted = (0..MOST_DRAWS).find(|&draw| {
                next(place, draw, noise);
                for ((v, noise), e) in v.iter_mut().zip(noise.iter_mut()).zip(self.row(token)) {
                    *noise *= scale;
                    *v = *noise + e;
                }
                self.nearest(&v) == token
            });
            if accepted.is_none() {
                noise.fill(0.0);
            }
            draws.push(accepted.map_or(MOST_DRAWS, |draw| draw + 1) as u32);
        }
        Dequantised { noise, draws }
    }

    /// As [`Self::dequantise`], with noise from `rng`.
    pub fn dequantise_with(&self, tokens: &[u32], scale: f32, rng: &mut Pcg64) -> Dequantised {
        self.dequantise(tokens, scale, |_, _, noise| {
            noise.fill_with(|| rng.sample(StandardNormal));
        })
    }
}

/// The similarity loss of embedded tokens `v` [n, F] of `tokens`, summed over them `[1]`:
///
/// ```text
/// sum_i (1 - cos(v_i, e_{x_i})) + sum_{j != x_i} max(0, cos(v_i, e_j))
/// ```
///
/// It holds embeddings apart, which the likelihood alone pulls together: m tokens that share one embedding save up to ln m
/// nats each, and before the flow has learnt more than one mode about F / 2 ln(1 + 1 / (F noise^2)) nats, 16 at F = 16. The
/// released code takes one j at random in place of all, so that its push is V - 1 times weaker in the mean, and its j may
/// be the token itself. As there, the loss is a sum over tokens (the paper's mean is T times less), and leaves a pair
/// alone whose cosine is below zero (the paper's does not).
pub(super) fn similarity(v: &Tensor<2>, tokens: &[u32], table: &Embedding) -> Tensor<1> {
    let [n, _] = v.dims();
    let length = v.clone().square().sum_dim(1).sqrt();
    let cosines = v.clone().matmul(table.rows().transpose()) / length;
    let [_, count] = cosines.dims();
    let mut own = vec![0.0; n * count];
    for (row, &token) in own.chunks_exact_mut(count).zip(tokens) {
        row[token as usize] = 1.0;
    }
    let own = from_f32(own, [n, count], &v.device());
    let pulled = (cosines.clone() * own.clone()).neg().sum() + n as f64;
    let pushed = (cosines.clamp_min(0.0) * (own.neg() + 1.0)).sum();
    pulled + pushed
}
