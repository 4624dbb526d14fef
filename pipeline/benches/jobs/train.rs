//! One training step of `pretrain-flow`.

use super::{Draws, Job, Shown, Size};
use burn::tensor::Device;
use latent_align_stages::Result;
use latent_align_stages::priors::{FitConfig, VelocityField as _, VelocityNetwork};
use latent_align_stages::random::{Streams, stratified_times};
use latent_align_stages::training::{MatmulPrecision, Trainer};

/// A flow trained on the given rows in order, repeatedly.
pub struct Train {
    fit: FitConfig,
    streams: Streams,
    rows: Vec<f32>,
    trainer: Option<Trainer<VelocityNetwork>>,
    done: usize,
}

/// Steps after which no weight is zero: the first changes the last layer, the second the gates, the
/// third all others.
const STEPS_TO_MOVE: usize = 3;

impl Train {
    /// A fresh network on random rows, enough for 16 steps.
    pub fn on_noise(size: Size, precision: MatmulPrecision, device: &Device) -> Self {
        let streams = Streams::new(0);
        let fit = FitConfig {
            precision,
            ..size.fit()
        };
        let trainer = fit.begin(size.dimensions, streams, device);
        let rows = streams.normal("rows", 0, 16 * size.batch * size.dimensions);
        Self::resume(fit, trainer, rows, streams)
    }

    /// Continues with `trainer` on `rows`, row-major, at least a batch of them; times and noise from
    /// `streams`.
    pub fn resume(
        fit: FitConfig,
        trainer: Trainer<VelocityNetwork>,
        rows: Vec<f32>,
        streams: Streams,
    ) -> Self {
        Self {
            fit,
            streams,
            rows,
            trainer: Some(trainer),
            done: 0,
        }
    }

    /// A network after a few steps: a fresh one is zero everywhere.
    ///
    /// # Errors
    /// As [`Job::step`].
    pub fn a_little(size: Size, device: &Device) -> Result<Self> {
        let mut train = Self::on_noise(Size { batch: 64, ..size }, MatmulPrecision::F32, device);
        for _ in 0..STEPS_TO_MOVE {
            train.step()?;
        }
        Ok(train)
    }

    /// The network, with autodiff.
    pub fn module(&self) -> VelocityNetwork {
        self.trainer().module.clone()
    }

    /// The network with averaged weights, without autodiff.
    pub fn averaged(&self) -> VelocityNetwork {
        self.trainer().averaged()
    }

    fn trainer(&self) -> &Trainer<VelocityNetwork> {
        self.trainer.as_ref().expect("it comes back from each step")
    }
}

impl Job for Train {
    fn step(&mut self) -> Result<()> {
        let trainer = self.trainer.take().expect("it comes back from each step");
        let mut batches = self
            .rows
            .chunks_exact(self.fit.batch * trainer.module.width());
        let points = batches.nth(self.done % batches.len()).expect("one of them");
        let points = points.to_vec();
        let mut rng = self.streams.at("flow matching", self.done as u64);
        let (trainer, _) = self.fit.step(trainer, points, &mut rng);
        self.trainer = Some(trainer);
        self.done += 1;
        Ok(())
    }

    /// The loss of given points, noise and times, and its gradient with respect to the weights.
    fn show(&mut self, to: &Shown) -> anyhow::Result<()> {
        let size = [self.fit.batch, self.trainer().module.width()];
        let times = stratified_times(&mut self.streams.at("times", 0), self.fit.times);
        let draws = Draws::new(size, times);
        let network = to.perturbed(self.module(), Draws::scale(self.fit.network.width))?;
        to.module("flow", &network)?;
        to.given(&draws.given())?;
        let device = network.device();
        let loss = draws.loss(&network, draws.points(&device), &device);
        to.loss_and_gradient(&network, loss)
    }
}
