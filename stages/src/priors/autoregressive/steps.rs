//! TarFlow one step at a time, for benchmarks: what `pretrain-flow` does between two batches, and sampling.

use super::network::Network;
use super::tarflow::TarFlow;
use crate::error::Result;
use crate::persist::load_weights;
use crate::priors::bijection::{Bijection as _, Under};
use crate::priors::drawing::{Steps, Way};
use crate::priors::maximum_likelihood::Likelihood as _;
use crate::priors::prior::{PointShape, Points};
use crate::random::Streams;
use crate::tensors::{to_f32, to_f64};
use crate::training::{OptimiserConfig, Trainer};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use std::path::Path;

/// A TarFlow in training.
pub struct TarFlowSteps {
    trainer: Option<Trainer<Network>>,
    shape: PointShape,
    streams: Streams,
    device: Device,
    done: u64,
}

impl TarFlow {
    /// A new TarFlow over points of `shape` on `device`, for a training of `steps`.
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
    /// One training step on the mean NLL of points [n, T, d], row-major.
    pub fn step(&mut self, points: Vec<f32>) {
        let loss = self.loss(points);
        let trainer = self.trainer.take().expect("it comes back from each step");
        self.trainer = Some(trainer.step(loss.backward()));
        self.done += 1;
    }

    /// The loss `[1]` of such a step: the mean NLL of points [n, T, d], row-major, in nats, with dropout.
    pub fn loss(&self, points: Vec<f32>) -> Tensor<1> {
        let points = Points::new(self.shape.tensor(points, &self.device));
        let network = &self.trainer().module;
        network
            .training_nll(&points, self.streams, self.done)
            .mean()
    }

    /// The NLL in nats of each of the points [n, T, d], row-major, without autodiff or dropout.
    ///
    /// # Errors
    /// Device errors.
    pub fn nll(&self, points: Vec<f32>) -> Result<Vec<f64>> {
        let device = self.device.clone().inner();
        let points = Points::new(self.shape.tensor(points, &device));
        to_f64(self.trainer().module.valid().nll(&points))
    }

    /// The network, with autodiff.
    pub fn module(&self) -> &(impl Module + use<>) {
        &self.trainer().module
    }

    /// Loads the weights in the safetensors file `path`.
    ///
    /// # Errors
    /// As [`load_weights`].
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let trainer = self.trainer.as_mut();
        let trainer = trainer.expect("it comes back from each step");
        load_weights(&mut trainer.module, path)
    }

    fn trainer(&self) -> &Trainer<Network> {
        let trainer = self.trainer.as_ref();
        trainer.expect("it comes back from each step")
    }

    /// Draws a point for each row of `noise` [n, T, d] from the current flow in `steps`: [n, T, d], row-major.
    ///
    /// # Errors
    /// Device errors.
    pub fn draw(&self, noise: Vec<f32>, steps: Steps) -> Result<Vec<f32>> {
        let network = self.trainer().module.valid();
        let noise = self.shape.tensor(noise, &self.device.clone().inner());
        let nothing = Under {
            condition: None,
            none: None,
        };
        let drawn = network.from_noise(noise, nothing, &Way::by(steps), &mut |_| Ok(()))?;
        to_f32(drawn.points)
    }
}
