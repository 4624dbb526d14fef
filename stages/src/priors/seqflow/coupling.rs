//! A coupling inside each token: half of its numbers, together with the context, parametrise the map of the rest.
//!
//! ```text
//! h = silu(W2 silu(W1 [kept, context]))        u = the map of the others whose parameters are W3 h
//! ```
//!
//! The released code uses ReLU, which makes the gradient of the density discontinuous.

use super::squared::{PARAMETERS, Squared};
use crate::error::Result;
use crate::fused::{self, linear_layer};
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

#[derive(Module, Debug)]
pub(super) struct Coupling {
    /// Maps the kept numbers and the context to H.
    input: Linear,
    inner: Linear,
    /// Maps H to the parameters of the map.
    output: Linear,
    /// Whether a token's numbers are taken in reverse.
    reversed: bool,
}

/// Number of kept elements of a token of `width`.
fn kept(width: usize) -> usize {
    width / 2
}

impl Coupling {
    /// For tokens of `width` numbers with a context of width `context`; weights are initialised later.
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

    /// Number of parameters.
    pub fn parameters(width: u128, context: u128, hidden: u128) -> u128 {
        let kept = width / 2;
        (kept + context + 1) * hidden
            + (hidden + 1) * hidden
            + (hidden + 1) * PARAMETERS as u128 * (width - kept)
    }

    /// The kept and the other numbers.
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

    /// Maps tokens `x` [n, F] towards noise; also returns `log |det|` [n, 1].
    pub fn forward(&self, x: Tensor<2>, context: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let [kept, others] = self.parts(x);
        let (others, log_det) = self.map(kept.clone(), context).forward(others);
        (self.joined(kept, others), log_det)
    }

    /// Inverts tokens [n, F].
    ///
    /// # Errors
    /// Device errors.
    pub fn inverse(&self, x: Tensor<2>, context: Tensor<2>) -> Result<Tensor<2>> {
        let [kept, others] = self.parts(x);
        let others = self.map(kept.clone(), context).inverse(&others)?;
        Ok(self.joined(kept, others))
    }
}
