//! The training loop: step, log, evaluate, checkpoint, cancel, resume.

use super::best::Best;
use super::divergence::{finite, unless_before};
use super::flat::without_autodiff;
use super::optimiser::Trainer;
use super::replicas::Replicas;
use super::running_mean::RunningMean;
use crate::context::Context;
use crate::error::Result;
use crate::figures::curves;
use crate::persist::Resumable;
use burn::module::Module;
use burn::tensor::Tensor;

/// A training task with N figures in its learning curve.
pub trait Task<M, const N: usize> {
    /// Name of the module in checkpoints.
    const PART: &'static str;
    const TERMS: [Term; N];

    /// The loss of the whole batch of `step`, on the first device, with autodiff. There is a replica of the module on
    /// each device, at least one, and each can take an equal share of the batch; the gradient is the sum of theirs.
    ///
    /// # Errors
    /// Errors of the data.
    fn step(&mut self, replicas: &[&M], step: u64) -> Result<Step<N>>;

    /// Further training after the module has taken `step`.
    fn learn(&mut self, _step: u64) {}

    /// Fails if the further training has diverged since the last check.
    ///
    /// # Errors
    /// [`crate::error::Error::Diverged`] names the first such step.
    fn check(&mut self) -> Result<()> {
        Ok(())
    }

    /// The figures of the module with averaged weights, without autodiff, on held-out data; None if there is none.
    ///
    /// # Errors
    /// Device errors.
    fn evaluate(&mut self, averaged: &M) -> Result<Option<HeldOut<N>>>;

    /// Further columns of a row of the learning curve, computed from its figures: the means of the steps since the
    /// last row, and the figures on held-out data, NaN if not evaluated.
    fn derived(&self, _means: [f64; N], _held_out: [f64; N]) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// Short description of the figures for the progress line.
    fn note(means: [f64; N]) -> String {
        format!("loss {:.4}", means[0])
    }

    /// Further parts of a checkpoint, by name.
    fn parts(&mut self) -> Vec<(&'static str, &mut dyn Resumable)> {
        Vec::new()
    }
}

/// The names of a figure: a term of the loss, or a figure next to it.
pub struct Term {
    /// Column of the learning curve: the mean of the steps since the last row.
    pub train: &'static str,
    /// Column on held-out data.
    pub held_out: &'static str,
    /// The held-out figure in messages, such as `the held-out loss`.
    pub words: &'static str,
    /// Name in checkpoints.
    pub part: &'static str,
}

impl Term {
    /// The loss itself, if it has no parts.
    pub const LOSS: Self = Self {
        train: curves::TRAIN_LOSS,
        held_out: curves::HELD_OUT_LOSS,
        words: "the held-out loss",
        part: "train_loss",
    };
}

/// The result of a step.
pub struct Step<const N: usize> {
    /// The minimised loss `[1]`.
    pub loss: Tensor<1>,
    /// The figures `[1]`, with or without autodiff; None for an absent term.
    pub terms: [Option<Tensor<1>>; N],
}

impl Step<1> {
    /// A step whose loss is its only figure.
    pub fn of(loss: Tensor<1>) -> Self {
        Self {
            terms: [Some(loss.clone())],
            loss,
        }
    }
}

/// The result of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldOut<const N: usize> {
    /// Criterion for the best checkpoint.
    pub loss: f64,
    /// The figures; None for an absent term.
    pub terms: [Option<f64>; N],
}

impl HeldOut<1> {
    /// An evaluation whose loss is its only figure.
    pub fn of(loss: f64) -> Self {
        Self {
            loss,
            terms: [Some(loss)],
        }
    }
}

/// Length of a training, and how often it is evaluated, besides at its end.
#[derive(Debug, Clone, Copy)]
pub struct Length {
    /// Steps.
    pub steps: u64,
    /// Steps between evaluations.
    pub evaluate_every: u64,
}

/// Name of the best weights in checkpoints.
const BEST: &str = "best";

/// Steps between rows of the learning curve.
const LOG_EVERY: u64 = 25;

/// Runs `task` on the devices of `context` and returns the module with averaged weights, without autodiff. Resumes from
/// the checkpoint in `context`, if any.
///
/// # Errors
/// [`crate::error::Error::Diverged`]; [`crate::error::Error::Cancelled`]; errors of `task`.
pub fn train<M: Module, T: Task<M, N>, const N: usize>(
    trainer: Trainer<M>,
    task: &mut T,
    length: Length,
    context: &Context,
) -> Result<M> {
    let best = Best::new(None, trainer.averaged());
    train_for_the_best(trainer, task, length, best, context).map(|(module, _)| module)
}

/// As [`train`], returning the weights of the `best` evaluation if they are kept, else the last ones; and the step of
/// these weights.
///
/// # Errors
/// As [`train`].
pub fn train_for_the_best<M: Module, T: Task<M, N>, const N: usize>(
    trainer: Trainer<M>,
    task: &mut T,
    length: Length,
    mut best: Best<M>,
    context: &Context,
) -> Result<(M, u64)> {
    let Length {
        steps,
        evaluate_every,
    } = length;
    let mut replicas = Replicas::of(trainer, &context.replicas);
    let mut recent = [(); N].map(|()| RunningMean::new(&context.device));
    let mut parts: Vec<(&str, &mut dyn Resumable)> =
        vec![(T::PART, &mut replicas), (BEST, &mut best)];
    parts.extend(task.parts());
    for (term, mean) in T::TERMS.iter().zip(&mut recent) {
        parts.push((term.part, mean));
    }
    context.restore(&mut parts)?;
    drop(parts);

    let mut last = context.held_out_loss();
    let mut note = String::new();
    let mut stops = false;
    for step in context.first_step()..steps {
        let rate = replicas.first().learning_rate();
        let Step { loss, terms } = task.step(&replicas.modules(), step)?;
        for (mean, term) in recent.iter_mut().zip(terms) {
            if let Some(term) = term {
                mean.add(without_autodiff(term));
            }
        }
        replicas = replicas.step(loss);
        task.learn(step);

        let done = step + 1;
        let evaluate = done % evaluate_every == 0 || done == steps;
        if evaluate || done % LOG_EVERY == 0 {
            let means = RunningMean::take_all(recent.each_mut(), step);
            let means = unless_before([replicas.check(), task.check()], means)?;
            let mut held_out = [f64::NAN; N];
            if evaluate {
                let averaged = replicas.first().averaged();
                if let Some(found) = task.evaluate(&averaged)? {
                    stops = best.evaluated(found.loss, done, &averaged);
                    held_out = figures_of::<M, T, N>(found, step)?;
                    last = Some(found.loss);
                }
            }
            let row = row_of(task, means, held_out, rate);
            context.monitor.metrics(done, &row);
            note = T::note(means);
        }
        context.monitor.progress("training", done, steps, &note);
        if stops {
            break;
        }
        let mut parts: Vec<(&str, &dyn Resumable)> = vec![(T::PART, &replicas), (BEST, &best)];
        parts.extend(task.parts().into_iter().map(|(name, part)| (name, &*part)));
        for (term, mean) in T::TERMS.iter().zip(&recent) {
            parts.push((term.part, mean));
        }
        context.checkpoint(done, steps, last, &parts)?;
    }
    let trainer = replicas.first();
    let last = || (trainer.averaged(), trainer.steps_taken());
    Ok(best.take().unwrap_or_else(last))
}

/// The figures of an evaluation after `step`; NaN for an absent term.
fn figures_of<M, T: Task<M, N>, const N: usize>(found: HeldOut<N>, step: u64) -> Result<[f64; N]> {
    let mut figures = [f64::NAN; N];
    for ((figure, value), term) in figures.iter_mut().zip(found.terms).zip(T::TERMS) {
        if let Some(value) = value {
            *figure = finite(value, term.words, step)?;
        }
    }
    Ok(figures)
}

/// A row of the learning curve.
fn row_of<M, T: Task<M, N>, const N: usize>(
    task: &T,
    means: [f64; N],
    held_out: [f64; N],
    rate: f64,
) -> Vec<(&'static str, f64)> {
    let of_steps = T::TERMS.iter().map(|term| term.train).zip(means);
    let of_held_out = T::TERMS.iter().map(|term| term.held_out).zip(held_out);
    (of_steps.chain(of_held_out))
        .chain(task.derived(means, held_out))
        .chain([(curves::LEARNING_RATE, rate)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{Monitor, Table};
    use crate::persist::Snapshot;
    use crate::random::Streams;
    use crate::tensors::{from_f32, to_f32};
    use crate::training::OptimiserConfig;
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;
    use std::path::PathBuf;
    use std::sync::Mutex;

    /// A task of two terms, the second present at odd steps only, and a number that is trained in addition.
    struct Toy {
        held_out: [Option<f64>; 2],
        besides: Besides,
    }

    struct Besides(u64);

    impl Resumable for Besides {
        fn save(&self, name: &str, snapshot: &mut Snapshot) -> Result<()> {
            snapshot.put_number(name, self.0);
            Ok(())
        }
        fn restore(&mut self, name: &str, snapshot: &Snapshot) -> Result<()> {
            self.0 = snapshot.number(name)?;
            Ok(())
        }
    }

    impl Task<Linear, 2> for Toy {
        const PART: &'static str = "line";
        const TERMS: [Term; 2] = [
            Term::LOSS,
            Term {
                train: "penalty",
                held_out: "held-out penalty",
                words: "the held-out penalty",
                part: "penalty",
            },
        ];

        fn step(&mut self, lines: &[&Linear], step: u64) -> Result<Step<2>> {
            let weight = lines[0].weight.val().flatten::<1>(0, 1);
            let away = weight.mul_scalar(step as f64 + 1.0) - self.besides.0 as f64;
            let loss = away.square();
            let penalty = (step % 2 == 1).then(|| loss.clone().inner().mul_scalar(0.1));
            Ok(Step {
                terms: [Some(loss.clone()), penalty],
                loss,
            })
        }

        fn learn(&mut self, step: u64) {
            self.besides.0 = 3 * self.besides.0 % 7 + step;
        }

        fn evaluate(&mut self, _: &Linear) -> Result<Option<HeldOut<2>>> {
            Ok(Some(HeldOut {
                loss: 0.75,
                terms: self.held_out,
            }))
        }

        fn parts(&mut self) -> Vec<(&'static str, &mut dyn Resumable)> {
            vec![("besides", &mut self.besides)]
        }
    }

    /// Keeps rows of the learning curve, and every snapshot.
    #[derive(Default)]
    struct Keep {
        rows: Mutex<Vec<Vec<(&'static str, f64)>>>,
        states: Mutex<Vec<Snapshot>>,
    }

    impl Monitor for Keep {
        fn cancelled(&self) -> bool {
            false
        }
        fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
        fn metrics(&self, _: u64, row: &[(&'static str, f64)]) {
            self.rows.lock().unwrap().push(row.to_vec());
        }
        fn table(&self, _: &str, _: &Table) -> Result<()> {
            Ok(())
        }
        fn warn(&self, _: &str) {}
        fn wants_checkpoint(&self, _: u64) -> bool {
            true
        }
        fn checkpoint(&self, state: &Snapshot) -> Result<()> {
            self.states.lock().unwrap().push(state.clone());
            Ok(())
        }
    }

    /// The weight after ten steps, and what was kept.
    fn ten_steps(resume: Option<Snapshot>, held_out: [Option<f64>; 2]) -> Result<(f32, Keep)> {
        let device = Device::flex();
        let line = LinearConfig::new(1, 1)
            .with_bias(false)
            .init(&device.clone().autodiff());
        let weight = from_f32(vec![0.3], [1, 1], &device.clone().autodiff());
        let line = Linear {
            weight: line.weight.map(|_| weight.require_grad()),
            ..line
        };
        let keep = Keep::default();
        let context = Context {
            streams: Streams::new(0),
            device,
            replicas: Vec::new(),
            dir: PathBuf::new(),
            resume,
            kept: std::env::temp_dir(),
            monitor: &keep,
        };
        let mut toy = Toy {
            held_out,
            besides: Besides(1),
        };
        let length = Length {
            steps: 10,
            evaluate_every: 10,
        };
        let trainer = Trainer::new(line, &OptimiserConfig::default(), 10);
        let line = train(trainer, &mut toy, length, &context)?;
        Ok((to_f32(line.weight.val())?[0], keep))
    }

    /// Fails if a part, or the mean of a term, is missing from a checkpoint.
    #[test]
    fn a_resumed_training_ends_as_one_that_was_not_interrupted() {
        let held_out = [Some(0.5), None];
        let (weight, kept) = ten_steps(None, held_out).unwrap();
        let states = kept.states.into_inner().unwrap();
        assert_eq!(states.len(), 10);
        assert_eq!(states[9].held_out_loss(), Some(0.75));
        let rows = kept.rows.into_inner().unwrap();
        for state in &states[..9] {
            let (resumed, kept) = ten_steps(Some(state.clone()), held_out).unwrap();
            assert_eq!(resumed.to_bits(), weight.to_bits());
            let found = kept.rows.into_inner().unwrap();
            // NaN for the missing term
            assert_eq!(format!("{found:?}"), format!("{rows:?}"));
            assert_eq!(kept.states.into_inner().unwrap().last(), states.last());
        }
    }

    /// Fails if a term that is NaN is treated like an absent one: a held-out loss of 0 would then be the best.
    #[test]
    fn a_held_out_term_that_is_nan_is_a_divergence_and_one_that_is_missing_is_not() {
        let (_, kept) = ten_steps(None, [Some(0.25), None]).unwrap();
        let row = &kept.rows.into_inner().unwrap()[0];
        let names: Vec<_> = row.iter().map(|(name, _)| *name).collect();
        let expected = [
            curves::TRAIN_LOSS,
            "penalty",
            curves::HELD_OUT_LOSS,
            "held-out penalty",
            curves::LEARNING_RATE,
        ];
        assert_eq!(names, expected);
        assert!(row[2].1 == 0.25 && row[3].1.is_nan(), "{row:?}");
        let told = ten_steps(None, [Some(0.25), Some(f64::NAN)]).map(|_| ());
        let told = told.unwrap_err().to_string();
        assert!(
            told.starts_with("the held-out penalty is NaN after step 9"),
            "{told}"
        );
    }
}
