//! Token embeddings: a table of unit vectors, noise around them, and decoding to the nearest one.

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
    /// F, the width of a token embedding.
    pub width: usize,
    /// Standard deviation of the noise around a token's embedding, which has unit length. Noise that reaches the
    /// neighbouring tokens leaves no gaps of low density between them, which a flow would have to learn.
    pub noise: f64,
    /// Weight of the similarity loss, in units of the mean NLL per sequence (nats per unit of loss); the loss keeps
    /// the embeddings of different tokens apart. 0 for none.
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

/// Maximum number of draws, after which a token gets no noise: among 79 tokens of width 8, some accept only 3 % of
/// noise with a norm equal to theirs.
const MOST_DRAWS: usize = 1000;

/// A table of embeddings; row i, normalised, is the embedding of token i.
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

    /// The normalised rows, [V, F].
    pub fn rows(&self) -> Tensor<2> {
        let table = self.table.val();
        let length = table.clone().square().sum_dim(1).sqrt();
        table / length
    }

    /// The normalised rows on the host.
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
    /// Noise added to the embedding of each token, [n, F].
    pub noise: Vec<f32>,
    /// Number of draws per token.
    pub draws: Vec<u32>,
}

impl HostTable {
    /// The embedding of a token.
    fn row(&self, token: u32) -> &[f32] {
        &self.rows[token as usize * self.width..][..self.width]
    }

    /// The token whose embedding has the largest cosine with `v`, the first one among equals.
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

    /// Noise of `scale` around each of `tokens`. Noise that decodes to another token is drawn again, up to 1,000
    /// times, and is then 0; so embedding plus noise always decodes to its token. `next` returns the noise of a
    /// token and a draw.
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
/// It keeps embeddings apart; the likelihood alone would make them collapse: m tokens that share one embedding save
/// up to ln m nats each, and, before the flow has learnt more than one mode, about F / 2 ln(1 + 1 / (F noise^2))
/// nats, 16 at F = 16. The released code uses one random j instead of all, so its repulsion is V - 1 times weaker
/// on average, and its j may be the token itself. As in that code, the loss is a sum over tokens (the paper's mean
/// is T times smaller) and ignores pairs with a cosine below zero (the paper's does not).
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
