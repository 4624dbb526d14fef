//! The mean of a loss since it was last read, kept on the device in between.

use crate::error::{Error, Result};
use crate::tensors::scalar;
use burn::tensor::Tensor;

/// A sum of losses on the device; reading it is the only synchronisation.
#[derive(Default)]
pub struct RunningMean {
    sum: Option<Tensor<1>>,
    count: u32,
}

impl RunningMean {
    /// Adds a loss `[1]` without autodiff.
    pub fn add(&mut self, loss: Tensor<1>) {
        self.sum = Some(match self.sum.take() {
            Some(sum) => sum + loss,
            None => loss,
        });
        self.count += 1;
    }

    /// The mean since the last call, NaN if there was nothing. A loss that is not finite is an error
    /// that names the step and the seed.
    pub fn take(&mut self, step: u64, seed: u64) -> Result<f64> {
        let Some(sum) = self.sum.take() else {
            return Ok(f64::NAN);
        };
        let mean = scalar(sum)? / f64::from(std::mem::take(&mut self.count));
        if mean.is_finite() {
            Ok(mean)
        } else {
            Err(Error::Numerical(format!(
                "the loss is {mean} at step {step} (seed {seed}); lower optimiser.learning_rate or \
                 optimiser.gradient_clip"
            )))
        }
    }
}
