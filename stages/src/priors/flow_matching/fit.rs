//! Fitting a velocity network to points: the loop of flow matching.

use super::config::VelocityNetworkConfig;
use super::matching::{Evaluation, flow_matching_loss};
use super::network::VelocityNetwork;
use crate::context::Context;
use crate::error::Result;
use crate::priors::condition::ConditionKind;
use crate::priors::field::VelocityField;
use crate::priors::kind::{Batch, PART};
use crate::problems::Problems;
use crate::random::{Streams, normal, stratified_times};
use crate::tensors::from_f32;
use crate::training::{
    Best, HeldOut, Length, MatmulPrecision, OptimiserConfig, Step, Task, Term, Trainer,
    train_for_the_best,
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
/// The stream of the conditions that a step drops.
const DROPPED: &str = "dropout of conditions";

/// What a network is conditioned on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conditioning {
    /// Labels or embeddings.
    pub kind: ConditionKind,
    /// The probability that a condition is replaced by "none" in training.
    pub dropout: f64,
}

/// Notes `times` that do not divide `batch`.
pub(super) fn check_times(times: usize, batch: usize, problems: &mut Problems) {
    problems.require(
        times >= 1 && batch.is_multiple_of(times),
        "times",
        times,
        &format!("a divisor of batch ({batch})"),
    );
}

impl FitConfig {
    /// Notes every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.section("network", |p| self.network.check(p));
        problems.section("optimiser", |p| self.optimiser.check(p));
        problems.at_least("steps", self.steps, 1);
        problems.at_least("batch", self.batch, 1);
        check_times(self.times, self.batch, problems);
    }

    /// A fresh network over points of `width` dimensions, ready to be trained on `device` (without
    /// autodiff, which is added here).
    pub fn begin(
        &self,
        width: usize,
        streams: Streams,
        device: &Device,
    ) -> Trainer<VelocityNetwork> {
        self.begin_under(0, width, streams, device)
    }

    /// As [`Self::begin`], over points under conditions of `columns` numbers.
    fn begin_under(
        &self,
        columns: usize,
        width: usize,
        streams: Streams,
        device: &Device,
    ) -> Trainer<VelocityNetwork> {
        let device = device.clone().autodiff();
        let network = self.network.init_under(columns, width, streams, &device);
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
        let loss = self.loss(&trainer.module, points, None, rng);
        (trainer.step(loss.backward()), loss.inner())
    }

    /// The loss `[1]` of `network` on `points`, row-major [batch, width], under `condition` [batch, c], times
    /// and noise from `rng`.
    fn loss(
        &self,
        network: &VelocityNetwork,
        points: Vec<f32>,
        condition: Option<Tensor<2>>,
        rng: &mut Pcg64,
    ) -> Tensor<1> {
        let (device, groups) = (network.device(), self.times);
        let dims = [groups, self.batch / groups, network.width()];
        let times = stratified_times(rng, groups);
        let noise = from_f32(normal(rng, points.len()), dims, &device);
        let data = from_f32(points, dims, &device);
        let under = condition.and_then(|condition| network.under(condition));
        flow_matching_loss(under.as_deref().unwrap_or(network), data, noise, &times)
    }

    /// The network with averaged weights after `steps` steps of flow matching on what `next` gives:
    /// the points of a step, [batch, width]. The held-out loss is of `evaluation`, every
    /// `evaluate_every` steps and at the end. Goes on where `context` says.
    ///
    /// # Errors
    /// As [`train_for_the_best`].
    pub fn fit(
        &self,
        width: usize,
        mut next: impl FnMut(u64) -> Result<Vec<f32>>,
        evaluation: &Evaluation,
        evaluate_every: u64,
        streams: Streams,
        context: &Context,
    ) -> Result<VelocityNetwork> {
        let next = |step| Ok(Batch::new(next(step)?));
        let every = (evaluate_every, None);
        let fitted = self.fit_under(None, width, next, evaluation, every, streams, context);
        fitted.map(|(network, _)| network)
    }

    /// As [`Self::fit`], over points that are conditioned as `conditioning` says, evaluated every so many steps; it stops
    /// after so many evaluations without a lower loss, and takes the weights of the lowest. The network, and the step that
    /// its weights are of.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn fit_under(
        &self,
        conditioning: Option<Conditioning>,
        width: usize,
        next: impl FnMut(u64) -> Result<Batch>,
        evaluation: &Evaluation,
        (evaluate_every, patience): (u64, Option<u64>),
        streams: Streams,
        context: &Context,
    ) -> Result<(VelocityNetwork, u64)> {
        let columns = conditioning.map_or(0, |c| c.kind.columns());
        let trainer = self.begin_under(columns, width, streams, &context.device);
        let mut task = Matching {
            config: self,
            conditioning,
            next,
            evaluation,
            streams,
        };
        let length = Length {
            steps: self.steps,
            evaluate_every,
        };
        let best = Best::new(patience, trainer.averaged());
        let (network, step) = train_for_the_best(trainer, &mut task, length, best, context)?;
        Ok((in_f32(network), step))
    }
}

/// A training by flow matching.
struct Matching<'a, N> {
    config: &'a FitConfig,
    conditioning: Option<Conditioning>,
    next: N,
    evaluation: &'a Evaluation,
    streams: Streams,
}

impl<N: FnMut(u64) -> Result<Batch>> Task<VelocityNetwork, 1> for Matching<'_, N> {
    const PART: &'static str = PART;
    const TERMS: [Term; 1] = [Term::LOSS];

    fn step(&mut self, network: &VelocityNetwork, step: u64) -> Result<Step<1>> {
        let Batch { values, conditions } = (self.next)(step)?;
        let condition = self.conditioning.zip(conditions).map(|(how, conditions)| {
            let mut rng = self.streams.at(DROPPED, step);
            let device = network.device();
            (how.kind).encode_with_dropout(&conditions, how.dropout, &mut rng, &device)
        });
        let mut rng = self.streams.at(STREAM, step);
        Ok(Step::of(
            self.config.loss(network, values, condition, &mut rng),
        ))
    }

    fn evaluate(&mut self, averaged: &VelocityNetwork) -> Result<Option<HeldOut<1>>> {
        let loss = self.evaluation.loss(&in_f32(averaged.clone()))?;
        Ok(Some(HeldOut::of(loss)))
    }
}

/// What a network is evaluated in, however it was trained.
fn in_f32(network: VelocityNetwork) -> VelocityNetwork {
    network.in_precision(MatmulPrecision::F32)
}
