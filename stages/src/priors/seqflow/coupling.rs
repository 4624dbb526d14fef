//! One coupling inside each token: half of its numbers set the map of the others, together with what the context read.
//!
//! ```text
//! h = silu(W2 silu(W1 [kept, context]))        u = the map of the others whose parameters are W3 h
//! ```
//!
//! The released code has ReLU, with which the gradient of the density jumps.

use super::squared::{PARAMETERS, Squared};
use crate::error::Result;
use crate::fused::{self, linear_layer};
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

/// The weights.
#[derive(Module, Debug)]
pub(super) struct Coupling {
    /// Of the numbers kept and the context, -> H.
    input: Linear,
    inner: Linear,
    /// H -> the parameters of the map.
    output: Linear,
    /// Whether the numbers of a token are taken from the last to the first.
    reversed: bool,
}

/// How many numbers of a token of `width` are kept.
fn kept(width: usize) -> usize {
    width / 2
}

impl Coupling {
    /// Over tokens of `width` numbers with a context of `context`; weights are yet to be drawn.
    pub fn new(
        width: usize,
        context: usize,
        hidden: usize,
        reversed: bool,
        device: &Device,
    ) -> Self {
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        let kept = kept(width);
        Self {
            input: linear(kept + context, hidden),
            inner: linear(hidden, hidden),
            output: linear(hidden, PARAMETERS * (width - kept)),
            reversed,
        }
    }

    /// How many numbers one has.
    pub fn parameters(width: u128, context: u128, hidden: u128) -> u128 {
        let kept = width / 2;
        (kept + context + 1) * hidden
            + (hidden + 1) * hidden
            + (hidden + 1) * PARAMETERS as u128 * (width - kept)
    }

    /// The numbers kept, and the others.
    fn parts(&self, x: Tensor<2>) -> [Tensor<2>; 2] {
        let [_, width] = x.dims();
        let kept = kept(width);
        match self.reversed {
            false => [
                x.clone().narrow(1, 0, kept),
                x.narrow(1, kept, width - kept),
            ],
            true => [
                x.clone().narrow(1, width - kept, kept),
                x.narrow(1, 0, width - kept),
            ],
        }
    }

    fn joined(&self, kept: Tensor<2>, others: Tensor<2>) -> Tensor<2> {
        match self.reversed {
            false => Tensor::cat(vec![kept, others], 1),
            true => Tensor::cat(vec![others, kept], 1),
        }
    }

    fn map(&self, kept: Tensor<2>, context: Tensor<2>) -> Squared {
        let h = fused::silu(linear_layer(
            &self.input,
            Tensor::cat(vec![kept, context], 1),
        ));
        let h = fused::silu(linear_layer(&self.inner, h));
        Squared::new(linear_layer(&self.output, h))
    }

    /// Tokens `x` [n, F] carried on, and `log |det|` [n, 1].
    pub fn forward(&self, x: Tensor<2>, context: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let [kept, others] = self.parts(x);
        let (others, log_det) = self.map(kept.clone(), context).forward(others);
        (self.joined(kept, others), log_det)
    }

    /// Tokens carried back [n, F].
    ///
    /// # Errors
    /// Device errors.
    pub fn inverse(&self, x: Tensor<2>, context: Tensor<2>) -> Result<Tensor<2>> {
        let [kept, others] = self.parts(x);
        let others = self.map(kept.clone(), context).inverse(&others)?;
        Ok(self.joined(kept, others))
    }
}
