//! An LSTM over the tokens before each.

use super::start::{drawn, read_next};
use crate::priors::recurrent::{Recurrent, Remembered};
use crate::random::Streams;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

#[derive(Module, Debug)]
pub(super) struct Lstm {
    /// The start token, [1, F].
    start: Param<Tensor<2>>,
    inner: Recurrent,
}

impl Lstm {
    pub fn new(dims: [usize; 2], channels: usize, layers: usize, device: &Device) -> Self {
        Self {
            start: Param::from_tensor(Tensor::zeros([1, dims[1]], device)),
            inner: Recurrent::new(dims, channels, layers, device),
        }
    }

    /// Number of parameters over points of `dims`, T x F.
    pub fn parameters(dims: [u128; 2], channels: usize, layers: usize) -> u128 {
        dims[1] + Recurrent::parameters(dims, channels, layers)
    }

    /// Draws the start token from N(0, 1); it is unlike any embedding, and the same for all
    /// sequences.
    pub fn prepare(&mut self, number: u64, streams: Streams) {
        self.start = drawn(&self.start, "start token", number, streams);
    }

    /// The context of every token of `x` [n, T, F]: [n, T, C].
    pub fn all(&self, x: &Tensor<3>) -> Tensor<3> {
        let [n, tokens, _] = x.dims();
        let mut inputs = vec![read_next(self.start.val(), None, n).unsqueeze_dim(0)];
        if tokens > 1 {
            inputs.push(x.clone().narrow(1, 0, tokens - 1).swap_dims(0, 1));
        }
        let inputs = Tensor::cat(inputs, 0);
        let read = self.inner.read(&mut Remembered::default(), inputs);
        read.swap_dims(0, 1)
    }

    /// The context of the next token of `n` points.
    pub fn next(&self, state: &mut Remembered, before: Option<Tensor<2>>, n: usize) -> Tensor<2> {
        let input = read_next(self.start.val(), before, n);
        let read = self.inner.read(state, input.unsqueeze_dim(0));
        read.squeeze_dim(0)
    }
}
