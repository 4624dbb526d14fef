//! An LSTM over the tokens before each.

use super::start::{drawn, read_next};
use crate::priors::recurrent::{Recurrent, Remembered};
use crate::random::Streams;
use crate::tensors::stacked;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

/// The weights.
#[derive(Module, Debug)]
pub(super) struct Lstm {
    /// Stands before the first token, [1, F].
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

    /// Numbers in one over points of `dims`, T x F.
    pub fn parameters(dims: [u128; 2], channels: usize, layers: usize) -> u128 {
        dims[1] + Recurrent::parameters(dims, channels, layers)
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
        (self.inner).read(state, read_next(self.start.val(), before, n))
    }
}
