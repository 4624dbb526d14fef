//! The networks.
//!
//! ```text
//! reading:  h_1 .. h_T = LSTM(e_{x_1} .. e_{x_T}),  mean, log-variance = W [h_1 .. h_T]     q(z | x) = N(mean, variance)
//! writing:  p(x_i | x_1 .. x_{i-1}, z) = softmax(W' LSTM([e_{x_{i-1}}, (U z)_i]))           begun from tanh(V z)
//! ```
//!
//! Every position contributes to the latent directly, and U z has E numbers per position. With the last h alone, or
//! the same z at every position, hardly any new long sequence is reconstructed exactly.

use super::config::SequenceVae;
use crate::error::Result;
use crate::fused::linear_layer;
use crate::priors::of_sequences::said;
use crate::priors::recurrent::{Recurrent, Remembered};
use crate::random::Streams;
use crate::sequences::{Alphabet, END};
use crate::tensors::{from_f32, to_f32};
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
    /// T C -> mean and log-variance.
    posterior: Linear,
    /// Maps a latent to h and c of each layer.
    begin: Linear,
    /// Maps a latent to E numbers per position.
    places: Linear,
    writer: Recurrent,
    /// C -> one logit per token.
    logits: Linear,
    tokens: usize,
    latent: usize,
    layers: usize,
}

/// A Gaussian per sequence.
pub(super) struct Posterior {
    /// [n, z].
    pub mean: Tensor<2>,
    /// [n, z].
    pub log_variance: Tensor<2>,
}

impl Posterior {
    /// KL divergence to N(0, I) in nats, `[n]`.
    pub fn divergence(&self) -> Tensor<1> {
        let [n, _] = self.mean.dims();
        let of_number = self.mean.clone().square() + self.log_variance.clone().exp()
            - self.log_variance.clone()
            - 1.0;
        of_number.sum_dim(1).mul_scalar(0.5).reshape([n])
    }

    /// The draw with noise `noise` [n, z].
    pub fn draw(&self, noise: Vec<f32>) -> Tensor<2> {
        let noise = from_f32(noise, self.mean.dims(), &self.mean.device());
        self.mean.clone() + self.log_variance.clone().mul_scalar(0.5).exp() * noise
    }
}

impl Network {
    /// Networks initialised from `streams`.
    pub fn new(
        config: &SequenceVae,
        alphabet: &Alphabet,
        streams: Streams,
        device: &Device,
    ) -> Self {
        let SequenceVae {
            latent,
            embedding,
            width,
            layers,
            ..
        } = *config;
        let (tokens, size) = (alphabet.longest(), alphabet.size());
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        let network = Self {
            table: Param::from_tensor(Tensor::zeros([size + 1, embedding], device)),
            reader: Recurrent::new([tokens, embedding], width, layers, device),
            posterior: linear(tokens * width, 2 * latent),
            begin: linear(latent, 2 * layers * width),
            places: linear(latent, tokens * embedding),
            writer: Recurrent::new([tokens, 2 * embedding], width, layers, device),
            logits: linear(width, size),
            tokens,
            latent,
            layers,
        };
        initialise_with_biases(network, streams)
    }

    /// The embeddings of `tokens` of n sequences, ordered by position: [positions, n, E].
    fn embedded(&self, tokens: impl Iterator<Item = u32>, n: usize) -> Tensor<3> {
        let tokens: Vec<i64> = tokens.map(i64::from).collect();
        let (table, places) = (self.table.val(), tokens.len() / n);
        let tokens = Tensor::<1, Int>::from_data(&tokens[..], &table.device());
        let [_, width] = table.dims();
        table.select(0, tokens).reshape([places, n, width])
    }

    /// The first `places` tokens of rows [n, T], ordered by position.
    fn by_place<'a>(&self, rows: &'a [u32], places: usize) -> impl Iterator<Item = u32> + use<'a> {
        let tokens = self.tokens;
        (0..places).flat_map(move |place| rows.iter().skip(place).step_by(tokens).copied())
    }

    /// The start symbol.
    fn start(&self) -> u32 {
        self.table.dims()[0] as u32 - 1
    }

    /// The posterior of each of the rows [n, T].
    pub fn read(&self, rows: &[u32]) -> Posterior {
        let n = rows.len() / self.tokens;
        let read = self.embedded(self.by_place(rows, self.tokens), n);
        let read = self.reader.read(&mut Remembered::default(), read);
        let out = linear_layer(&self.posterior, read.swap_dims(0, 1).flatten(1, 2));
        Posterior {
            mean: out.clone().narrow(1, 0, self.latent),
            log_variance: out.narrow(1, self.latent, self.latent),
        }
    }

    fn begin(&self, z: &Tensor<2>) -> Remembered {
        let states = linear_layer(&self.begin, z.clone()).tanh();
        let [_, columns] = states.dims();
        let width = columns / self.layers;
        let of_layer = |layer: usize| states.clone().narrow(1, layer * width, width);
        Remembered::of((0..self.layers).map(of_layer).collect())
    }

    /// What the decoder reads from latents `z` [n, z] at each position, [T, n, E].
    fn of_places(&self, z: &Tensor<2>) -> Tensor<3> {
        let ([n, _], [_, width]) = (z.dims(), self.table.dims());
        let all = linear_layer(&self.places, z.clone());
        all.reshape([n, self.tokens, width]).swap_dims(0, 1)
    }

    /// The logits of the tokens after `before` [positions, n, E], given the latents' numbers of these positions:
    /// [positions n, V].
    fn write(&self, state: &mut Remembered, before: Tensor<3>, of_places: Tensor<3>) -> Tensor<2> {
        let input = Tensor::cat(vec![before, of_places], 2);
        let h: Tensor<2> = self.writer.read(state, input).flatten(0, 1);
        linear_layer(&self.logits, h)
    }

    /// `log p` of every token at each position of rows [n, T], given the tokens before it and `z` [n, z]: [n, T,
    /// V].
    pub fn log_probabilities(&self, rows: &[u32], z: &Tensor<2>) -> Tensor<3> {
        let [n, _] = z.dims();
        let starts = std::iter::repeat_n(self.start(), n);
        let before = starts.chain(self.by_place(rows, self.tokens - 1));
        let before = self.embedded(before, n);
        let logits = self.write(&mut self.begin(z), before, self.of_places(z));
        let [_, size] = logits.dims();
        let logits = logits.reshape([self.tokens, n, size]).swap_dims(0, 1);
        log_softmax(logits, 2)
    }

    /// `-log p(x_i | x_1 .. x_{i-1}, z)` of rows [n, T] in nats, [n, T], up to and including the first end token of
    /// each row, and 0 after it.
    pub fn each_token(&self, rows: &[u32], z: &Tensor<2>) -> Tensor<2> {
        let [n, _] = z.dims();
        let size = self.start() as usize;
        let said = from_f32(
            said(rows, [self.tokens, size]),
            [n, self.tokens, size],
            &z.device(),
        );
        let each = (self.log_probabilities(rows, z) * said).sum_dim(2).neg();
        each.reshape([n, self.tokens])
    }

    /// `-log p(x | z)` of rows [n, T] in nats, `[n]`, up to and including the first end token of each row.
    pub fn reconstruction(&self, rows: &[u32], z: &Tensor<2>) -> Tensor<1> {
        let [n, _] = z.dims();
        self.each_token(rows, z).sum_dim(1).reshape([n])
    }

    /// Greedy decoding of latents `z` [n, z] to rows [n, T].
    ///
    /// # Errors
    /// Device errors.
    pub fn greedy(&self, z: &Tensor<2>) -> Result<Vec<u32>> {
        let [n, _] = z.dims();
        let (mut state, of_places) = (self.begin(z), self.of_places(z));
        let mut rows = vec![END; n * self.tokens];
        let mut before = vec![self.start(); n];
        for place in 0..self.tokens {
            let said = self.embedded(before.iter().copied(), n);
            let of_place = of_places.clone().narrow(0, place, 1);
            let logits = self.write(&mut state, said, of_place);
            let [_, size] = logits.dims();
            for ((logits, token), row) in to_f32(logits)?
                .chunks_exact(size)
                .zip(&mut before)
                .zip(rows.chunks_exact_mut(self.tokens))
            {
                *token = likeliest(logits);
                row[place] = *token;
            }
        }
        Ok(rows)
    }
}

/// Index of the first maximum.
fn likeliest(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    best as u32
}
