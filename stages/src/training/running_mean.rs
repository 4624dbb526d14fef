//! The mean of a loss since it was last read, kept on the device in between.

use crate::error::{Error, Result};
use crate::persist::{Resumable, Snapshot};
use crate::tensors::{from_f32, to_f32};
use burn::tensor::{Device, Tensor};

/// Losses on the device, one per step; only reading them synchronises.
pub struct RunningMean {
    device: Device,
    losses: Vec<Tensor<1>>,
}

impl RunningMean {
    /// No losses yet; `device` is without autodiff.
    pub fn new(device: &Device) -> Self {
        Self {
            device: device.clone(),
            losses: Vec::new(),
        }
    }

    /// Adds the loss `[1]` of a step, without autodiff.
    pub fn add(&mut self, loss: Tensor<1>) {
        self.losses.push(loss);
    }

    /// The mean since the last call, NaN if there were no losses; `step` is the last added one.
    ///
    /// # Errors
    /// [`Error::Diverged`] names the first step whose loss is not finite.
    pub fn take(&mut self, step: u64) -> Result<f64> {
        let losses = self.read(step + 1)?;
        self.losses.clear();
        let sum: f64 = losses.iter().map(|&loss| f64::from(loss)).sum();
        Ok(sum / losses.len() as f64)
    }

    /// [`Self::take`] of each of `means`.
    ///
    /// # Errors
    /// [`Error::Diverged`] names the first step at which any loss is not finite.
    pub fn take_all<const N: usize>(means: [&mut Self; N], step: u64) -> Result<[f64; N]> {
        let mut failed = Vec::new();
        let values = means.map(|mean| {
            mean.take(step).unwrap_or_else(|error| {
                failed.push(error);
                f64::NAN
            })
        });
        let first = failed.into_iter().reduce(Error::earlier);
        first.map_or(Ok(values), Err)
    }

    /// The losses of the last steps up to `done`.
    fn read(&self, done: u64) -> Result<Vec<f32>> {
        if self.losses.is_empty() {
            return Ok(Vec::new());
        }
        let losses = to_f32(Tensor::cat(self.losses.clone(), 0))?;
        match losses.iter().position(|loss| !loss.is_finite()) {
            None => Ok(losses),
            Some(at) => Err(Error::Diverged {
                step: done - (losses.len() - at) as u64,
                what: format!("the loss is {}", losses[at]),
            }),
        }
    }
}

impl Resumable for RunningMean {
    fn save(&self, name: &str, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.put(name, self.read(snapshot.step())?);
        Ok(())
    }

    fn restore(&mut self, name: &str, snapshot: &Snapshot) -> Result<()> {
        let losses = snapshot.get(name)?.iter();
        let tensor = |&loss: &f32| from_f32(vec![loss], [1], &self.device);
        self.losses = losses.map(tensor).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of(losses: &[f32]) -> RunningMean {
        let device = Device::flex();
        let mut mean = RunningMean::new(&device);
        for &loss in losses {
            mean.add(from_f32(vec![loss], [1], &device));
        }
        mean
    }

    #[test]
    fn the_mean_is_of_what_came_since_the_last() {
        let mut mean = mean_of(&[1.0, 2.0]);
        assert_eq!(mean.take(1).unwrap(), 1.5);
        assert!(mean.take(1).unwrap().is_nan());
    }

    #[test]
    fn the_first_step_that_diverged_is_named_and_its_state_is_not_kept() {
        let mut mean = mean_of(&[1.0, f32::NAN, f32::INFINITY]);
        let saved = Snapshot::of(13, None, &[("loss", &mean)]);
        for error in [saved.unwrap_err(), mean.take(12).unwrap_err()] {
            assert!(matches!(error, Error::Diverged { step: 11, what } if what.contains("NaN")));
        }
    }

    #[test]
    fn of_two_losses_and_weights_the_first_that_diverged_is_named() {
        // the regulariser at step 11, and its effect on the weights at step 12
        let mut reconstruction = mean_of(&[1.0, 1.0, f32::NAN]);
        let mut regulariser = mean_of(&[1.0, f32::INFINITY, f32::NAN]);
        struct Weights;
        impl Resumable for Weights {
            fn save(&self, _: &str, snapshot: &mut Snapshot) -> Result<()> {
                Err(Error::Diverged {
                    step: snapshot.step() - 1,
                    what: "the weights are not finite".to_owned(),
                })
            }
            fn restore(&mut self, _: &str, _: &Snapshot) -> Result<()> {
                Ok(())
            }
        }
        let parts: [(&str, &dyn Resumable); 3] = [
            ("weights", &Weights),
            ("reconstruction", &reconstruction),
            ("regulariser", &regulariser),
        ];
        let saved = Snapshot::of(13, None, &parts).unwrap_err();
        let taken = RunningMean::take_all([&mut reconstruction, &mut regulariser], 12);
        for error in [saved, taken.unwrap_err()] {
            assert!(matches!(error, Error::Diverged { step: 11, what } if what.contains("inf")));
        }
    }

    #[test]
    fn a_resumed_mean_goes_on() {
        let saved = Snapshot::of(2, None, &[("loss", &mean_of(&[1.0, 2.0]))]).unwrap();
        let mut mean = RunningMean::new(&Device::flex());
        mean.restore("loss", &saved).unwrap();
        mean.add(from_f32(vec![6.0], [1], &Device::flex()));
        assert_eq!(mean.take(2).unwrap(), 3.0);
    }
}
