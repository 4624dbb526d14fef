//! TarFlow one step at a time: of a training, what `pretrain-flow` does between two batches, and of its samples.

use super::network::Network;
use super::tarflow::TarFlow;
use crate::error::Result;
use crate::priors::bijection::{Bijection as _, Under};
use crate::priors::drawing::{Steps, Way};
use crate::priors::maximum_likelihood::Likelihood as _;
use crate::priors::prior::{PointShape, Points};
use crate::random::Streams;
use crate::tensors::to_f32;
use crate::training::{OptimiserConfig, Trainer};
use burn::module::Module as _;
use burn::tensor::Device;

/// A TarFlow in training.
pub struct TarFlowSteps {
    trainer: Option<Trainer<Network>>,
    shape: PointShape,
    streams: Streams,
    device: Device,
    done: u64,
}

impl TarFlow {
    /// A fresh one over points of `shape` on `device`, of a training of `steps`.
    pub fn begin(
        &self,
        shape: PointShape,
        optimiser: &OptimiserConfig,
        steps: u64,
        streams: Streams,
        device: &Device,
    ) -> TarFlowSteps {
        let device = device.clone().autodiff();
        let network = Network::new(&self.design(), shape, 0, streams, &device);
        TarFlowSteps {
            trainer: Some(Trainer::new(network, optimiser, steps)),
            shape,
            streams,
            device,
            done: 0,
        }
    }
}

impl TarFlowSteps {
    /// A step down the mean NLL of points [n, T, d], row-major.
    pub fn step(&mut self, points: Vec<f32>) {
        let trainer = self.trainer.take().expect("it comes back from each step");
        let points = Points::new(self.shape.tensor(points, &self.device));
        let nll = (trainer.module).training_nll(&points, self.streams, self.done);
        self.trainer = Some(trainer.step(nll.mean().backward()));
        self.done += 1;
    }

    /// As many points [n, T, d] as `noise` [n, T, d] has, row-major, of the flow as it is now, drawn in `steps`.
    ///
    /// # Errors
    /// Device errors.
    pub fn draw(&self, noise: Vec<f32>, steps: Steps) -> Result<Vec<f32>> {
        let trainer = self.trainer.as_ref().expect("it comes back from each step");
        let network = trainer.module.valid();
        let noise = self.shape.tensor(noise, &self.device.clone().inner());
        let nothing = Under {
            condition: None,
            none: None,
        };
        let drawn = network.from_noise(noise, nothing, &Way::by(steps), &mut |_| Ok(()))?;
        to_f32(drawn.points)
    }
}
