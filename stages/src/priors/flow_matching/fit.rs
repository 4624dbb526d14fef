//! Fits a velocity network to points by flow matching.

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
    Best, HeldOut, Length, MatmulPrecision, OptimiserConfig, Step, Task, Term, Trainer, mean_over,
    share, train_for_the_best,
};
use burn::tensor::{Device, Tensor};
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of a fit. The defaults are small, for flows that only serve as a measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FitConfig {
    /// Size of the velocity network.
    pub network: VelocityNetworkConfig,
    /// Optimiser and schedule.
    pub optimiser: OptimiserConfig,
    /// Training steps.
    pub steps: u64,
    /// Training points per step.
    pub batch: usize,
    /// Stratified times per step, each shared by batch / times points; the time embedding and its modulations are
    /// computed once for each.
    pub times: usize,
    /// Precision of the matrix products of training.
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

/// Random stream of a step's times and noise.
const STREAM: &str = "flow matching";
/// Random stream of dropped conditions.
const DROPPED: &str = "dropout of conditions";

/// Conditioning of a network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conditioning {
    pub kind: ConditionKind,
    /// The probability that a condition is replaced by "none" in training.
    pub dropout: f64,
}

/// Reports `times` that do not divide `batch`.
pub(super) fn check_times(times: usize, batch: usize, problems: &mut Problems) {
    problems.require(
        times >= 1 && batch.is_multiple_of(times),
        "times",
        times,
        &format!("a divisor of batch ({batch})"),
    );
}

impl FitConfig {
    /// Reports every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.section("network", |p| self.network.check(p));
        problems.section("optimiser", |p| self.optimiser.check(p));
        problems.at_least("steps", self.steps, 1);
        problems.at_least("batch", self.batch, 1);
        check_times(self.times, self.batch, problems);
    }

    /// A new network over points of `width` dimensions, ready for training on `device` (without autodiff, which is
    /// added here).
    pub fn begin(
        &self,
        width: usize,
        streams: Streams,
        device: &Device,
    ) -> Trainer<VelocityNetwork> {
        self.begin_under(0, width, streams, device)
    }

    /// As [`Self::begin`], over points under conditions of width `columns`.
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

    /// One step of flow matching on `points`, row-major [batch, width], with times and noise from `rng`. Returns
    /// the trainer after the step and the loss `[1]`, without autodiff. Nothing is read back from the device.
    pub fn step(
        &self,
        trainer: Trainer<VelocityNetwork>,
        points: Vec<f32>,
        rng: &mut Pcg64,
    ) -> (Trainer<VelocityNetwork>, Tensor<1>) {
        let loss = self.loss(&[&trainer.module], &points, None, rng);
        (trainer.step(loss.backward()), loss.inner())
    }

    /// The loss `[1]` of `points`, row-major [batch, width], in equal shares of groups for `replicas`, under `condition`
    /// [batch, c], with times and noise from `rng`.
    fn loss(
        &self,
        replicas: &[&VelocityNetwork],
        points: &[f32],
        condition: Option<Tensor<2>>,
        rng: &mut Pcg64,
    ) -> Tensor<1> {
        let times = stratified_times(rng, self.times);
        let noise = normal(rng, points.len());
        let count = replicas.len();
        mean_over(replicas, |k, network| {
            let device = network.device();
            let dims = [self.times / count, self.batch / self.times, network.width()];
            let of_share = |values| from_f32(share(values, k, count).to_vec(), dims, &device);
            let condition = condition.as_ref().map(|all| {
                let rows = self.batch / count;
                all.clone().narrow(0, k * rows, rows).to_device(&device)
            });
            let under = condition.and_then(|condition| network.under(condition));
            let field = under.as_deref().unwrap_or(network);
            let times = share(&times, k, count);
            flow_matching_loss(field, of_share(points), of_share(&noise), times)
        })
    }

    /// Trains for `steps` steps of flow matching and returns the network with averaged weights. `next` returns the
    /// points of a step, [batch, width]. The held-out loss uses `evaluation`, every `evaluate_every` steps and at
    /// the end. Resumes from the checkpoint in `context`, if any.
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

    /// As [`Self::fit`], with `conditioning`, evaluations every `evaluate_every` steps, and early stopping after a
    /// number of evaluations without a lower loss. Returns the network of the lowest loss and its step.
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

/// A flow-matching training.
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

    fn step(&mut self, replicas: &[&VelocityNetwork], step: u64) -> Result<Step<1>> {
        let Batch { values, conditions } = (self.next)(step)?;
        let condition = self.conditioning.zip(conditions).map(|(how, conditions)| {
            let mut rng = self.streams.at(DROPPED, step);
            let device = replicas[0].device();
            (how.kind).encode_with_dropout(&conditions, how.dropout, &mut rng, &device)
        });
        let mut rng = self.streams.at(STREAM, step);
        let loss = self.config.loss(replicas, &values, condition, &mut rng);
        Ok(Step::of(loss))
    }

    fn evaluate(&mut self, averaged: &VelocityNetwork) -> Result<Option<HeldOut<1>>> {
        let loss = self.evaluation.loss(&in_f32(averaged.clone()))?;
        Ok(Some(HeldOut::of(loss)))
    }
}

/// Sets f32 matrix products for evaluation, whatever the precision of training.
fn in_f32(network: VelocityNetwork) -> VelocityNetwork {
    network.in_precision(MatmulPrecision::F32)
}
