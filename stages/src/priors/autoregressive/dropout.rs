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

    /// The next factors on `count` elements, zero or 1 / (1 - probability); None outside training.
    fn mask(&mut self, count: usize) -> Option<Vec<f32>> {
        let (rate, rng) = self.0.as_mut()?;
        let (rate, kept) = (*rate as f32, (1.0 / (1.0 - *rate)) as f32);
        let factor = |_| match rng.random::<f32>() < rate {
            true => 0.0,
            false => kept,
        };
        Some((0..count).map(factor).collect())
    }

    /// The factors on a layer's two residuals of `count` elements.
    pub fn masks(&mut self, count: usize) -> Option<[Vec<f32>; 2]> {
        self.mask(count).zip(self.mask(count)).map(<[_; 2]>::from)
    }

    /// Applies dropout to `x` [rows, C].
    pub fn of(&mut self, x: Tensor<2>) -> Tensor<2> {
        let dims = x.dims();
        match self.mask(dims[0] * dims[1]) {
            None => x,
            Some(mask) => {
                let mask = from_f32::<2>(mask, dims, &x.device()).cast(x.dtype());
                x * mask
            }
        }
    }
}
