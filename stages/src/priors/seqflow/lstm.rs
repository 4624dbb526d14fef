//! An LSTM over the tokens before each (Hochreiter & Schmidhuber 1997).
//!
//! ```text
//! i, f, g, o = W [x_{t-1}, h_{t-1}] + p_t              p_t: numbers of the place t, 4 C
//! c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)        h_t = sigmoid(o) tanh(c_t)
//! ```
//!
//! It begins with c = h = 0; layers above the first read the h of the layer below.

use super::start::{drawn, read_next};
use crate::fused;
use crate::random::Streams;
use crate::tensors::stacked;
use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};

/// The gates and what they let in.
const GATES: usize = 4;

/// The weights.
#[derive(Module, Debug)]
pub(super) struct Lstm {
    /// Stands before the first token, [1, F].
    start: Param<Tensor<2>>,
    /// Of each place, added to the gates of the first layer [T, 4 C].
    places: Param<Tensor<2>>,
    /// Of each layer, from its input and its h to the gates.
    layers: Vec<Linear>,
}

/// h and c of each layer [n, C], and how many tokens were read.
#[derive(Default)]
pub(super) struct Remembered {
    layers: Vec<[Tensor<2>; 2]>,
    read: usize,
}

impl Lstm {
    pub fn new(
        [tokens, width]: [usize; 2],
        channels: usize,
        layers: usize,
        device: &Device,
    ) -> Self {
        let zeros = |rows, columns| Param::from_tensor(Tensor::zeros([rows, columns], device));
        let layer = |number: usize| {
            let input = if number == 0 { width } else { channels };
            LinearConfig::new(input + channels, GATES * channels).init(device)
        };
        Self {
            start: zeros(1, width),
            places: zeros(tokens, GATES * channels),
            layers: (0..layers).map(layer).collect(),
        }
    }

    /// Numbers in one over points of `tokens` x `width`.
    pub fn parameters([tokens, width]: [u128; 2], channels: usize, layers: usize) -> u128 {
        let (channels, gates, layers) = (channels as u128, GATES as u128, layers as u128);
        let of_layer = |input: u128| (input + channels + 1) * gates * channels;
        width + tokens * gates * channels + of_layer(width) + (layers - 1) * of_layer(channels)
    }

    /// Draws the start token from N(0, 1): nothing like an embedding, and the same for all sequences.
    pub fn prepare(&mut self, number: u64, streams: Streams) {
        self.start = drawn(&self.start, "start token", number, streams);
    }

    /// What is read for every token of `x` [n, T, F]: [n, T, C].
    pub fn all(&self, x: &Tensor<3>) -> Tensor<3> {
        let [n, tokens, width] = x.dims();
        let mut state = Remembered::default();
        let each = (0..tokens).map(|token| {
            let before = (token > 0).then(|| x.clone().narrow(1, token - 1, 1).reshape([n, width]));
            self.next(&mut state, before, n)
        });
        stacked::<2, 3>(each).swap_dims(0, 1)
    }

    /// What is read for the next token of `n` points.
    pub fn next(&self, state: &mut Remembered, before: Option<Tensor<2>>, n: usize) -> Tensor<2> {
        let place = self.places.val().narrow(0, state.read, 1);
        state.read += 1;
        let mut input = read_next(self.start.val(), before, n);
        if state.layers.is_empty() {
            let [_, columns] = place.dims();
            let zeros = || Tensor::zeros([n, columns / GATES], (&input.device(), input.dtype()));
            state.layers = self.layers.iter().map(|_| [zeros(), zeros()]).collect();
        }
        let mut place = Some(place);
        for (layer, remembered) in self.layers.iter().zip(&mut state.layers) {
            let [h, c] = remembered;
            let read = Tensor::cat(vec![input, h.clone()], 1);
            let bias = layer.bias.as_ref().expect("a layer with a bias").val();
            let mut gates = fused::linear(read, layer.weight.val(), bias);
            if let Some(place) = place.take() {
                gates = gates + place;
            }
            let [_, channels] = h.dims();
            let gate = |i: usize| gates.clone().narrow(1, i * channels, channels);
            let [i, f, o] = [0, 1, 3].map(|number| sigmoid(gate(number)));
            *c = f * c.clone() + i * gate(2).tanh();
            *h = o * c.clone().tanh();
            input = h.clone();
        }
        input
    }
}
