//! A causal transformer over the tokens before each: the layers of [`super::super::autoregressive`].

use super::start::{drawn, read_next};
use crate::fused::linear_layer;
use crate::priors::autoregressive::{Dropout, Layer, Seen};
use crate::random::Streams;
use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

#[derive(Module, Debug)]
pub(super) struct Transformer {
    /// The start token, [1, F].
    start: Param<Tensor<2>>,
    /// Maps a token, F -> C.
    input: Linear,
    /// Positional embeddings, [T, C].
    places: Param<Tensor<2>>,
    layers: Vec<Layer>,
}

/// Keys and values of each layer, and the number of tokens read.
pub(super) struct Read {
    seen: Vec<Seen>,
    read: usize,
}

impl Transformer {
    pub fn new(
        [tokens, width]: [usize; 2],
        [channels, head_width]: [usize; 2],
        layers: usize,
        device: &Device,
    ) -> Self {
        let zeros = |rows, columns| Param::from_tensor(Tensor::zeros([rows, columns], device));
        let layer = |_| Layer::new(channels, head_width, device);
        Self {
            start: zeros(1, width),
            input: LinearConfig::new(width, channels).init(device),
            places: zeros(tokens, channels),
            layers: (0..layers).map(layer).collect(),
        }
    }

    /// Number of parameters over points of `tokens` x `width`.
    pub fn parameters([tokens, width]: [u128; 2], channels: usize, layers: usize) -> u128 {
        let channels = channels as u128;
        width
            + (width + 1) * channels
            + tokens * channels
            + layers as u128 * Layer::parameters(channels)
    }

    /// Draws the start token from N(0, 1); it is unlike any embedding, and the same for all
    /// sequences.
    pub fn prepare(&mut self, number: u64, streams: Streams) {
        self.start = drawn(&self.start, "start token", number, streams);
    }

    /// The context of every token of `x` [n, T, F]: [n, T, C].
    pub fn all(&self, x: &Tensor<3>) -> Tensor<3> {
        let [n, tokens, _] = x.dims();
        let start = self.start.val().unsqueeze::<3>().repeat_dim(0, n);
        let read = match tokens {
            1 => start,
            _ => Tensor::cat(vec![start, x.clone().narrow(1, 0, tokens - 1)], 1),
        };
        let mut state = self.begin();
        state.seen.fill(Seen::Nothing);
        self.read(read, &mut state, 0)
    }

    /// The initial state.
    pub fn begin(&self) -> Read {
        Read {
            seen: self.layers.iter().map(|_| Seen::Empty).collect(),
            read: 0,
        }
    }

    /// The context of the next token of `n` points.
    pub fn next(&self, state: &mut Read, before: Option<Tensor<2>>, n: usize) -> Tensor<2> {
        let place = state.read;
        state.read += 1;
        let token = read_next(self.start.val(), before, n).unsqueeze_dim(1);
        self.read(token, state, place).squeeze_dim(1)
    }

    /// Reads `tokens` [n, m, F], the first of them at position `place`: [n, m, C].
    fn read(&self, tokens: Tensor<3>, state: &mut Read, place: usize) -> Tensor<3> {
        let [n, m, _] = tokens.dims();
        let h = linear_layer(&self.input, tokens.flatten(0, 1));
        let [_, channels] = h.dims();
        let places = self.places.val().narrow(0, place, m).unsqueeze();
        let mut h: Tensor<3> = h.reshape([n, m, channels]) + places;
        for (layer, seen) in self.layers.iter().zip(&mut state.seen) {
            h = layer.forward(h, seen, None, 1.0, &mut Dropout::off());
        }
        h
    }
}
