//! Steps of a training of TarFlow, one at a time: what `pretrain-flow` does between two batches.

use super::network::Network;
use super::tarflow::TarFlow;
use crate::priors::maximum_likelihood::Likelihood as _;
use crate::priors::prior::{PointShape, Points};
use crate::random::Streams;
use crate::training::{OptimiserConfig, Trainer};
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
}
