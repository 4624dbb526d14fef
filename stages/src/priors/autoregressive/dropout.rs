//! Dropout whose masks come from a random stream, so that a resumed training draws the same masks.

use crate::tensors::from_f32;
use burn::tensor::Tensor;
use rand::RngExt;
use rand_pcg::Pcg64;

/// Zeroes elements with a given probability and rescales the rest; the identity outside training.
#[derive(Clone)]
pub(in crate::priors) struct Dropout(Option<(f64, Pcg64)>);

impl Dropout {
    /// No dropout.
    pub fn off() -> Self {
        Self(None)
    }

    /// Dropout with probability `rate`, using `rng`.
    pub fn at(rate: f64, rng: Pcg64) -> Self {
        Self((rate > 0.0).then_some((rate, rng)))
    }

    /// Applies dropout to `x` [rows, C].
    pub fn of(&mut self, x: Tensor<2>) -> Tensor<2> {
        let Some((rate, rng)) = &mut self.0 else {
            return x;
        };
        let kept = (1.0 / (1.0 - *rate)) as f32;
        let dims = x.dims();
        let mask = (0..dims[0] * dims[1]).map(|_| match rng.random::<f32>() < *rate as f32 {
            true => 0.0,
            false => kept,
        });
        let mask = from_f32(mask.collect(), dims, &x.device());
        x * mask
    }
}
