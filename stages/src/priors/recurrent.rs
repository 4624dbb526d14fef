//! An LSTM (Hochreiter & Schmidhuber 1997), over whole sequences or step by step, with identical bits on a CPU.
//!
//! ```text
//! i, f, g, o = W [x_t, h_{t-1}] + p_t                  p_t: a learnt vector per position t, 4 C
//! c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)        h_t = sigmoid(o) tanh(c_t)
//! ```
//!
//! The initial c and h are 0 unless given; layers above the first take the h of the layer below as input.

use crate::fused::{linear, lstm};
use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

/// Number of gates, including the candidate.
const GATES: usize = 4;

#[derive(Module, Debug)]
pub(super) struct Recurrent {
    /// Learnt vectors per position, added to the gates of the first layer [T, 4 C].
    places: Param<Tensor<2>>,
    /// Per layer, a linear map from its input and h to the gates.
    layers: Vec<Linear>,
}

/// h and c of each layer [n, 2 C], and the number of inputs read.
#[derive(Default)]
pub(super) struct Remembered {
    layers: Vec<Tensor<2>>,
    read: usize,
}

impl Remembered {
    /// The state with h and c of each layer [n, 2 C] given by `states`.
    pub fn of(states: Vec<Tensor<2>>) -> Self {
        let (layers, read) = (states, 0);
        Self { layers, read }
    }
}

impl Recurrent {
    /// For at most `tokens` inputs of width `width`, with a state of `channels`; weights are initialised later.
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

    /// Number of parameters.
    pub fn parameters([tokens, width]: [u128; 2], channels: usize, layers: usize) -> u128 {
        let (channels, gates, layers) = (channels as u128, GATES as u128, layers as u128);
        let of_layer = |input: u128| (input + channels + 1) * gates * channels;
        tokens * gates * channels + of_layer(width) + (layers - 1) * of_layer(channels)
    }

    /// Reads the next `inputs` [m, n, width], ordered by position: h of the last layer [m, n, C].
    pub fn read(&self, state: &mut Remembered, inputs: Tensor<3>) -> Tensor<3> {
        let [places, n, _] = inputs.dims();
        let rows = places * n;
        let of_places = self.places.val().narrow(0, state.read, places);
        state.read += places;
        let [_, columns] = of_places.dims();
        let channels = columns / GATES;
        if state.layers.is_empty() {
            let options = (&inputs.device(), inputs.dtype());
            let zeros = || Tensor::zeros([n, 2 * channels], options);
            state.layers = self.layers.iter().map(|_| zeros()).collect();
        }
        let mut of_places = Some(of_places.unsqueeze_dim::<3>(1));
        let mut input: Tensor<2> = inputs.flatten(0, 1);
        for (layer, remembered) in self.layers.iter().zip(&mut state.layers) {
            let weight = layer.weight.val();
            let [_, width] = input.dims();
            let [of_input, of_state] = [(0, width), (width, channels)]
                .map(|(from, count)| weight.clone().narrow(0, from, count));
            let bias = layer.bias.as_ref().expect("a layer with a bias");
            let mut gates = linear(input, of_input, bias.val());
            if let Some(of_places) = of_places.take() {
                let of_each = gates.reshape([places, n, columns]) + of_places;
                gates = of_each.reshape([rows, columns]);
            }
            let states = lstm(gates, of_state, remembered.clone());
            *remembered = states.clone().narrow(0, rows - n, n);
            input = states.narrow(1, 0, channels);
        }
        input.reshape([places, n, channels])
    }
}
