//! An LSTM (Hochreiter & Schmidhuber 1997), step by step.
//!
//! ```text
//! i, f, g, o = W [x_t, h_{t-1}] + p_t                  p_t: numbers of the place t, 4 C
//! c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)        h_t = sigmoid(o) tanh(c_t)
//! ```
//!
//! It begins with c = h = 0 unless it is told; layers above the first read the h of the layer below.

use crate::fused::linear_layer;
use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};

/// The gates and what they let in.
const GATES: usize = 4;

/// The weights.
#[derive(Module, Debug)]
pub(super) struct Recurrent {
    /// Of each place, added to the gates of the first layer [T, 4 C].
    places: Param<Tensor<2>>,
    /// Of each layer, from its input and its h to the gates.
    layers: Vec<Linear>,
}

/// h and c of each layer [n, C], and how many inputs were read.
#[derive(Default)]
pub(super) struct Remembered {
    layers: Vec<[Tensor<2>; 2]>,
    read: usize,
}

impl Remembered {
    /// As if `states`, h and c of each layer [n, C], were left of what was read.
    pub fn of(states: Vec<[Tensor<2>; 2]>) -> Self {
        let (layers, read) = (states, 0);
        Self { layers, read }
    }
}

impl Recurrent {
    /// Over at most `tokens` inputs of `width` numbers, with a state of `channels`; weights are yet to be drawn.
    pub fn new(
        [tokens, width]: [usize; 2],
        channels: usize,
        layers: usize,
        device: &Device,
    ) -> Self {
        let layer = |number: usize| {
            let input = if number == 0 { width } else { channels };
            LinearConfig::new(input + channels, GATES * channels).init(device)
        };
        Self {
            places: Param::from_tensor(Tensor::zeros([tokens, GATES * channels], device)),
            layers: (0..layers).map(layer).collect(),
        }
    }

    /// Numbers in one.
    pub fn parameters([tokens, width]: [u128; 2], channels: usize, layers: usize) -> u128 {
        let (channels, gates, layers) = (channels as u128, GATES as u128, layers as u128);
        let of_layer = |input: u128| (input + channels + 1) * gates * channels;
        tokens * gates * channels + of_layer(width) + (layers - 1) * of_layer(channels)
    }

    /// Reads the next `input` [n, width]: h of the last layer [n, C].
    pub fn read(&self, state: &mut Remembered, mut input: Tensor<2>) -> Tensor<2> {
        let place = self.places.val().narrow(0, state.read, 1);
        state.read += 1;
        if state.layers.is_empty() {
            let ([n, _], [_, columns]) = (input.dims(), place.dims());
            let zeros = || Tensor::zeros([n, columns / GATES], (&input.device(), input.dtype()));
            state.layers = self.layers.iter().map(|_| [zeros(), zeros()]).collect();
        }
        let mut place = Some(place);
        for (layer, remembered) in self.layers.iter().zip(&mut state.layers) {
            let [h, c] = remembered;
            let read = Tensor::cat(vec![input, h.clone()], 1);
            let mut gates = linear_layer(layer, read);
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
