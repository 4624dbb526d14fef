//! Dropout whose masks come from a stream of random numbers: a resumed training draws the same ones.

use crate::tensors::from_f32;
use burn::tensor::Tensor;
use rand::RngExt;
use rand_pcg::Pcg64;

/// Sets numbers to zero at a rate and makes up for it in the others; nothing outside of a training.
#[derive(Clone)]
pub(in crate::priors) struct Dropout(Option<(f64, Pcg64)>);

impl Dropout {
    /// None.
    pub fn off() -> Self {
        Self(None)
    }

    /// At `rate`, from `rng`.
    pub fn at(rate: f64, rng: Pcg64) -> Self {
        Self((rate > 0.0).then_some((rate, rng)))
    }

    /// `x` [rows, C] with a share of its numbers zero.
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
