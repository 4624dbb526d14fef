//! Training by maximum likelihood, shared by all priors with a differentiable density.

use super::kind::{Batch, Fit, PART, Schedule};
use super::prior::Points;
use crate::context::{Context, Summary};
use crate::error::Result;
use crate::figures::{curves, pretrain_flow::BEST_STEP};
use crate::random::Streams;
use crate::tensors::scalar;
use crate::training::{
    Best, HeldOut, Length, Step, Task, Term, Trainer, mean_over, share, train_for_the_best,
};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// A module whose density is differentiable with respect to weights and points.
pub(super) trait Likelihood: Module {
    /// The NLL `[n]` of each point, in nats.
    fn nll(&self, points: &Points) -> Tensor<1>;

    /// As [`Self::nll`], for a training step: random elements come from `streams` at `step`.
    fn training_nll(&self, points: &Points, _streams: Streams, _step: u64) -> Tensor<1> {
        self.nll(points)
    }
}

/// Minimises the mean NLL of batches from `fit`, with conditions dropped at the rate of `fit`. Returns `module`
/// with averaged weights and without autodiff, of the last step or, with early stopping, of the best one; and
/// figures of the training. Resumes from the checkpoint in `context`, if any.
///
/// # Errors
/// [`crate::error::Error::Diverged`]; errors of the data; [`crate::error::Error::Cancelled`].
pub(super) fn fit_by_likelihood<M: Likelihood>(
    module: M,
    fit: Fit,
    context: &Context,
) -> Result<(M, Summary)> {
    let schedule = fit.schedule;
    let mut task = Maximum {
        devices: context.tracked_devices(),
        held_out: fit
            .held_out
            .points(fit.shape, fit.condition, &context.device),
        fit,
    };
    trained(module, &mut task, schedule, context)
}

/// Trains `module` on `task` by `schedule`. Returns it with averaged weights and without autodiff, of the last step
/// or, with early stopping, of the best one; and figures of the training. Resumes from the checkpoint in `context`,
/// if any.
///
/// # Errors
/// Those of the task; [`crate::error::Error::Diverged`]; [`crate::error::Error::Cancelled`].
pub(super) fn trained<M: Module, T: Task<M, N>, const N: usize>(
    module: M,
    task: &mut T,
    schedule: &Schedule,
    context: &Context,
) -> Result<(M, Summary)> {
    let trainer = Trainer::new(module, &schedule.optimiser, schedule.steps);
    let length = Length {
        steps: schedule.steps,
        evaluate_every: schedule.evaluate_every,
    };
    let best = Best::new(schedule.early_stopping, trainer.averaged());
    let (module, step) = train_for_the_best(trainer, task, length, best, context)?;
    Ok((module, told(schedule, step)))
}

/// Figures of a training by `schedule` whose final weights are those of `step`.
pub(super) fn told(schedule: &Schedule, step: u64) -> Summary {
    let mut figures = Summary::default();
    if schedule.early_stopping.is_some() {
        figures.add(BEST_STEP, step as f64);
    }
    figures
}

/// A training by maximum likelihood.
struct Maximum<'a> {
    fit: Fit<'a>,
    held_out: Points,
    /// Of the replicas, with autodiff.
    devices: Vec<Device>,
}

impl Maximum<'_> {
    /// NLLs `[n]` of points from those of their logits.
    fn of_points(&self, nll: Tensor<1>, logits: &Points) -> Tensor<1> {
        match self.fit.logit {
            Some(logit) => nll - logit.log_det_at(logits.values.clone()),
            None => nll,
        }
    }
}

impl<M: Likelihood> Task<M, 1> for Maximum<'_> {
    const PART: &'static str = PART;
    const TERMS: [Term; 1] = [Term::LOSS];

    fn step(&mut self, replicas: &[&M], step: u64) -> Result<Step<1>> {
        let Batch { values, conditions } = (self.fit.next)(step)?;
        let condition = self
            .fit
            .condition
            .zip(conditions)
            .map(|(kind, conditions)| {
                let mut rng = self.fit.streams.at("dropout of conditions", step);
                kind.encode_with_dropout(&conditions, self.fit.dropout, &mut rng, &self.devices[0])
            });
        Ok(Step::of(mean_over(replicas, |k, module| {
            let device = &self.devices[k];
            let values = share(&values, k, replicas.len()).to_vec();
            let values = self.fit.shape.tensor(values, device);
            let [n, ..] = values.dims();
            let condition =
                (condition.as_ref()).map(|all| all.clone().narrow(0, k * n, n).to_device(device));
            let points = Points { values, condition };
            let nll = module.training_nll(&points, self.fit.streams.of_replica(k), step);
            self.of_points(nll, &points).mean()
        })))
    }

    fn evaluate(&mut self, averaged: &M) -> Result<Option<HeldOut<1>>> {
        let nll = averaged.nll(&self.held_out);
        let loss = scalar(self.of_points(nll, &self.held_out).mean())?;
        Ok(Some(HeldOut::of(loss)))
    }

    fn derived(&self, [train]: [f64; 1], [held_out]: [f64; 1]) -> Vec<(&'static str, f64)> {
        let Some(bits) = self.fit.bits else {
            return Vec::new();
        };
        vec![
            (curves::TRAIN_BITS, bits.of(train)),
            (curves::HELD_OUT_BITS, bits.of(held_out)),
        ]
    }
}
