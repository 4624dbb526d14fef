//! Fitting a velocity network to points: the loop of flow matching.

use super::config::VelocityNetworkConfig;
use super::field::VelocityField;
use super::matching::{Evaluation, flow_matching_loss};
use super::velocity_network::VelocityNetwork;
use crate::context::Context;
use crate::error::Result;
use crate::figures::curves;
use crate::problems::Problems;
use crate::random::{Streams, normal, stratified_times};
use crate::tensors::from_f32;
use crate::training::{
    MatmulPrecision, OptimiserConfig, RunningMean, Trainer, finite, unless_before,
};
use burn::tensor::{Device, Tensor};
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a flow is fitted. The defaults are small: for points whose flow is a measurement, not an end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FitConfig {
    /// The size of the velocity network.
    pub network: VelocityNetworkConfig,
    /// Optimiser and schedule.
    pub optimiser: OptimiserConfig,
    /// Training steps.
    pub steps: u64,
    /// Training points a step.
    pub batch: usize,
    /// Stratified times a step, each shared by batch / times points; the time embedding and its
    /// modulations are computed once for each.
    pub times: usize,
    /// What the matrix products of training are taken in.
    pub precision: MatmulPrecision,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self {
            network: VelocityNetworkConfig {
                width: 128,
                blocks: 3,
                frequencies: 128,
                ..Default::default()
            },
            optimiser: OptimiserConfig::default(),
            steps: 1500,
            batch: 256,
            times: 64,
            precision: MatmulPrecision::F32,
        }
    }
}

/// The stream of a step's times and noise.
const STREAM: &str = "flow matching";
/// Steps between two rows of the learning curve.
const LOG_EVERY: u64 = 25;
/// The parts of a checkpoint.
const FLOW: &str = "flow";
const LOSS: &str = "train_loss";

impl FitConfig {
    /// Notes every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.section("network", |p| self.network.check(p));
        problems.section("optimiser", |p| self.optimiser.check(p));
        problems.require(self.steps >= 1, "steps", self.steps, "at least 1");
        problems.require(self.batch >= 1, "batch", self.batch, "at least 1");
        problems.require(
            self.times >= 1 && self.batch.is_multiple_of(self.times),
            "times",
            self.times,
            &format!("a divisor of batch ({})", self.batch),
        );
    }

    /// A fresh network over points of `width` dimensions, ready to be trained on `device` (without
    /// autodiff, which is added here).
    pub fn begin(
        &self,
        width: usize,
        streams: Streams,
        device: &Device,
    ) -> Trainer<VelocityNetwork> {
        let device = device.clone().autodiff();
        let network = self.network.init(width, streams, &device);
        let network = network.in_precision(self.precision);
        Trainer::new(network, &self.optimiser, self.steps)
    }

    /// One step of flow matching on `points`, row-major [batch, width], times and noise from `rng`: the
    /// trainer after it and the loss `[1]`, without autodiff. Nothing is read back from the device.
    pub fn step(
        &self,
        trainer: Trainer<VelocityNetwork>,
        points: Vec<f32>,
        rng: &mut Pcg64,
    ) -> (Trainer<VelocityNetwork>, Tensor<1>) {
        let network = &trainer.module;
        let (device, groups) = (network.device(), self.times);
        let dims = [groups, self.batch / groups, network.width()];
        let times = stratified_times(rng, groups);
        let noise = from_f32(normal(rng, points.len()), dims, &device);
        let data = from_f32(points, dims, &device);
        let loss = flow_matching_loss(network, data, noise, &times);
        (trainer.step(loss.backward()), loss.inner())
    }

    /// The network with averaged weights after `steps` steps of flow matching on what `next` gives:
    /// the points of a step, [batch, width]. The held-out loss is of `evaluation`, every
    /// `evaluate_every` steps and at the end. Goes on where `context` says.
    pub fn fit(
        &self,
        width: usize,
        mut next: impl FnMut(u64) -> Result<Vec<f32>>,
        evaluation: &Evaluation,
        evaluate_every: u64,
        streams: Streams,
        context: &Context,
    ) -> Result<VelocityNetwork> {
        let steps = self.steps;
        let mut trainer = self.begin(width, streams, &context.device);
        let mut recent = RunningMean::new(&context.device);
        context.restore(&mut [(FLOW, &mut trainer), (LOSS, &mut recent)])?;
        let mut last = context.held_out_loss();
        let mut note = String::new();
        for step in context.first_step()..steps {
            let rate = trainer.learning_rate();
            let (after, loss) = self.step(trainer, next(step)?, &mut streams.at(STREAM, step));
            trainer = after;
            recent.add(loss);

            let done = step + 1;
            let evaluate = done % evaluate_every == 0 || done == steps;
            if evaluate || done % LOG_EVERY == 0 {
                let train_loss = unless_before([trainer.check()], recent.take(step))?;
                let held_out_loss = if evaluate {
                    let loss = evaluation.loss(&in_f32(trainer.averaged()))?;
                    last = Some(finite(loss, "the held-out loss", step)?);
                    loss
                } else {
                    f64::NAN
                };
                context.monitor.metrics(
                    done,
                    &[
                        (curves::TRAIN_LOSS, train_loss),
                        (curves::HELD_OUT_LOSS, held_out_loss),
                        (curves::LEARNING_RATE, rate),
                    ],
                );
                note = format!("loss {train_loss:.4}");
            }
            context.monitor.progress("training", done, steps, &note);
            context.checkpoint(done, steps, last, &[(FLOW, &trainer), (LOSS, &recent)])?;
        }
        Ok(in_f32(trainer.averaged()))
    }
}

/// What a network is evaluated in, however it was trained.
fn in_f32(network: VelocityNetwork) -> VelocityNetwork {
    network.in_precision(MatmulPrecision::F32)
}
