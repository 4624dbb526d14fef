//! The network: `p(x_i | x_1 .. x_{i-1}) = softmax(W LSTM(e_{x_1} .. e_{x_{i-1}}))`.

use super::config::GumbelMax;
use crate::error::Result;
use crate::fused::linear_layer;
use crate::priors::of_sequences::said;
use crate::priors::recurrent::{Recurrent, Remembered};
use crate::random::Streams;
use crate::sequences::Alphabet;
use crate::tensors::{from_f32, to_f64};
use crate::training::initialise_with_biases;
use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor};

#[derive(Module, Debug)]
pub(super) struct Network {
    /// Embeddings of the tokens and of the start symbol, [V + 1, E].
    table: Param<Tensor<2>>,
    reader: Recurrent,
    /// C -> one logit per token.
    logits: Linear,
    tokens: usize,
}

/// State after the tokens read so far.
pub(super) struct Reading {
    state: Remembered,
    before: Vec<u32>,
}

impl Network {
    /// A network initialised from `streams`.
    pub fn new(config: &GumbelMax, alphabet: &Alphabet, streams: Streams, device: &Device) -> Self {
        let GumbelMax {
            embedding,
            width,
            layers,
        } = *config;
        let (tokens, size) = (alphabet.longest(), alphabet.size());
        let network = Self {
            table: Param::from_tensor(Tensor::zeros([size + 1, embedding], device)),
            reader: Recurrent::new([tokens, embedding], width, layers, device),
            logits: LinearConfig::new(width, size).init(device),
            tokens,
        };
        initialise_with_biases(network, streams)
    }

    /// The start symbol.
    fn start(&self) -> u32 {
        self.table.dims()[0] as u32 - 1
    }

    /// `log p` of every token after `before`, ordered by position, then sequence: [positions n, V].
    fn read(&self, state: &mut Remembered, before: &[u32], n: usize) -> Tensor<2> {
        let table = self.table.val();
        let [_, width] = table.dims();
        let before: Vec<i64> = before.iter().map(|&token| i64::from(token)).collect();
        let places = before.len() / n;
        let before = Tensor::<1, Int>::from_data(&before[..], &table.device());
        let before = table.select(0, before).reshape([places, n, width]);
        let h: Tensor<2> = self.reader.read(state, before).flatten(0, 1);
        log_softmax(linear_layer(&self.logits, h), 1)
    }

    /// `log p` of every token at each position of rows [n, T], given the tokens before it: [n, T, V].
    pub fn log_probabilities(&self, rows: &[u32]) -> Tensor<3> {
        let n = rows.len() / self.tokens;
        let mut before = vec![self.start(); n];
        for place in 0..self.tokens - 1 {
            before.extend(rows.iter().skip(place).step_by(self.tokens));
        }
        let log_p = self.read(&mut Remembered::default(), &before, n);
        let [_, size] = log_p.dims();
        log_p.reshape([self.tokens, n, size]).swap_dims(0, 1)
    }

    /// `-log p` in nats of each token of rows [n, T] given the tokens before it, up to and including the first end
    /// symbol, and 0 after it: [n, T].
    pub fn each_token(&self, rows: &[u32]) -> Tensor<2> {
        let n = rows.len() / self.tokens;
        let size = self.start() as usize;
        let log_p = self.log_probabilities(rows);
        let said = from_f32(
            said(rows, [self.tokens, size]),
            [n, self.tokens, size],
            &log_p.device(),
        );
        (log_p * said).sum_dim(2).neg().reshape([n, self.tokens])
    }

    /// The initial state of `n` sequences.
    pub fn begin(&self, n: usize) -> Reading {
        Reading {
            state: Remembered::default(),
            before: vec![self.start(); n],
        }
    }

    /// Computes `log p` of every next token, [n, V]; `choose` then picks them.
    ///
    /// # Errors
    /// Device errors.
    pub fn next(
        &self,
        reading: &mut Reading,
        choose: impl FnOnce(&[f64]) -> Vec<u32>,
    ) -> Result<Vec<u32>> {
        let n = reading.before.len();
        let log_p = to_f64(self.read(&mut reading.state, &reading.before, n))?;
        reading.before = choose(&log_p);
        Ok(reading.before.clone())
    }
}
