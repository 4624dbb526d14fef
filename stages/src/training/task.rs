//! The loop of a training by one loss: step, log, evaluate, checkpoint, cancel, resume.

use super::divergence::{finite, unless_before};
use super::optimiser::Trainer;
use super::running_mean::RunningMean;
use crate::context::Context;
use crate::error::Result;
use crate::figures::curves;
use burn::module::Module;
use burn::tensor::Tensor;

/// What is trained, step by step.
pub trait Task<M> {
    /// The loss `[1]` of `step` on a device with autodiff.
    ///
    /// # Errors
    /// Errors of the data.
    fn loss(&mut self, module: &M, step: u64) -> Result<Tensor<1>>;

    /// The loss of the module with averaged weights, without autodiff, on held-out data.
    ///
    /// # Errors
    /// Device errors.
    fn held_out_loss(&mut self, averaged: &M) -> Result<f64>;
}

/// Steps between two rows of the learning curve.
const LOG_EVERY: u64 = 25;
/// The parts of a checkpoint.
const FLOW: &str = "flow";
const LOSS: &str = "train_loss";

/// The module with averaged weights, without autodiff, after `steps` steps of `task`, evaluated every
/// `evaluate_every` steps and at the end. Goes on where `context` says.
///
/// # Errors
/// [`crate::error::Error::Diverged`]; [`crate::error::Error::Cancelled`]; what `task` returns.
pub fn train<M: Module>(
    mut trainer: Trainer<M>,
    task: &mut impl Task<M>,
    steps: u64,
    evaluate_every: u64,
    context: &Context,
) -> Result<M> {
    let mut recent = RunningMean::new(&context.device);
    context.restore(&mut [(FLOW, &mut trainer), (LOSS, &mut recent)])?;
    let mut last = context.held_out_loss();
    let mut note = String::new();
    for step in context.first_step()..steps {
        let rate = trainer.learning_rate();
        let loss = task.loss(&trainer.module, step)?;
        trainer = trainer.step(loss.backward());
        recent.add(loss.inner());

        let done = step + 1;
        let evaluate = done % evaluate_every == 0 || done == steps;
        if evaluate || done % LOG_EVERY == 0 {
            let train_loss = unless_before([trainer.check()], recent.take(step))?;
            let held_out_loss = if evaluate {
                let loss = task.held_out_loss(&trainer.averaged())?;
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
    Ok(trainer.averaged())
}
