//! Configuration of a kind of prior, and the data it is fitted to.

use super::bits::Bits;
use super::condition::{ConditionKind, Conditions};
use super::drawing::Ways;
use super::flow_matching::ExactMixture;
use super::logit::{Logit, OfLogits};
use super::prior::{NllKind, Placement, PointShape, Points, Prior};
use crate::context::{Context, Summary};
use crate::devices::{Numbers, Shared};
use crate::error::Result;
use crate::problems::Problems;
use crate::random::Streams;
use crate::training::OptimiserConfig;
use burn::tensor::Device;
use std::path::Path;

/// A prior's part of a checkpoint.
pub(super) const PART: &str = "flow";

/// The configuration of a kind of prior.
pub trait PriorConfig {
    /// Reports every value out of range.
    fn check(&self, _problems: &mut Problems) {}

    /// Reports conflicts with `schedule`.
    fn check_with(&self, _schedule: &Schedule, _problems: &mut Problems) {}

    /// Number format of the matrix products in training, with its configuration key.
    fn numbers(&self) -> Option<Numbers> {
        None
    }

    /// How a training by `schedule` on several devices shares a batch; None if it runs on one device.
    fn shared(&self, schedule: &Schedule) -> Option<Shared> {
        Some(Shared::of_batch(schedule.batch))
    }

    /// What the prior offers regularisers besides its density.
    fn offers(&self) -> Offers {
        Offers::Density
    }

    /// Whether its NLL is exact or solved by an ODE.
    fn nll(&self) -> NllKind {
        NllKind::Exact
    }

    /// Whether it supports conditions.
    fn conditional(&self) -> bool {
        false
    }

    /// Supported ways of sampling.
    fn ways(&self) -> Ways;

    /// Checks the shape of points.
    ///
    /// # Errors
    /// The end of the sentence "expected ...".
    fn check_shape(&self, _shape: PointShape) -> std::result::Result<(), String> {
        Ok(())
    }

    /// Number of parameters over points of `shape`, computed before memory is allocated.
    fn parameters(&self, shape: PointShape, condition: Option<ConditionKind>) -> u128;

    /// Fits the prior to `fit`, resuming from the checkpoint in `context` if there is one.
    ///
    /// # Errors
    /// [`crate::error::Error::Diverged`]; [`crate::error::Error::Cancelled`]; errors of the data.
    fn fit(&self, fit: Fit, context: &Context) -> Result<Fitted>;

    /// Loads the prior with frozen weights from the safetensors file `path`.
    ///
    /// # Errors
    /// File errors; an input error for weights of another prior.
    fn load(
        &self,
        path: &Path,
        shape: PointShape,
        condition: Option<ConditionKind>,
        place: &Placement,
    ) -> Result<Box<dyn Prior>>;
}

/// Capabilities of a prior besides its density, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Offers {
    /// None.
    Density,
    /// The velocity of a probability-flow ODE.
    Velocity,
}

/// Training schedule of a prior.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Optimiser and learning rate.
    pub optimiser: OptimiserConfig,
    /// Training steps.
    pub steps: u64,
    /// Points per step.
    pub batch: usize,
    /// Steps between evaluations of the held-out loss.
    pub evaluate_every: u64,
    /// Points per evaluation.
    pub evaluation_points: usize,
    /// Number of evaluations without a lower held-out loss after which training stops and the best weights
    /// are used.
    pub early_stopping: Option<u64>,
}

/// Numbers of a point where its width is not known yet.
const LEAST_WIDTH: usize = 1;

impl Schedule {
    /// Adds its problems to `problems`, under the keys of its stage.
    pub fn check(&self, problems: &mut Problems) {
        problems.section("optimiser", |p| self.optimiser.check(p));
        problems.at_least("steps", self.steps, 1);
        problems.at_least("batch", self.batch, 1);
        problems.at_least("evaluate_every", self.evaluate_every, 1);
        problems.at_least("evaluation_points", self.evaluation_points, 1);
        problems.fits("evaluation_points", self.evaluation_points, LEAST_WIDTH);
        problems.at_least("early_stopping", self.early_stopping.unwrap_or(1), 1);
    }
}

#[cfg(test)]
impl Schedule {
    /// A short schedule for tests, with one evaluation at the end.
    pub(crate) fn short(steps: u64) -> Self {
        Self {
            optimiser: OptimiserConfig {
                learning_rate: 5e-3,
                warmup_steps: 0,
                ema: 0.5,
                ..OptimiserConfig::default()
            },
            steps,
            batch: 64,
            evaluate_every: steps,
            evaluation_points: 64,
            early_stopping: None,
        }
    }
}

/// Points on the host with their conditions.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Row-major [n, T, d].
    pub values: Vec<f32>,
    /// One per point; None for an unconditional prior.
    pub conditions: Option<Conditions>,
}

impl Batch {
    /// Points without conditions.
    pub fn new(values: Vec<f32>) -> Self {
        let conditions = None;
        Self { values, conditions }
    }

    /// Selects the rows `chosen` of `width` numbers each, in that order, with their conditions.
    pub fn select(&self, width: usize, chosen: &[usize]) -> Self {
        let row = |&i: &usize| self.values[i * width..(i + 1) * width].iter();
        Self {
            values: chosen.iter().flat_map(row).copied().collect(),
            conditions: (self.conditions.as_ref()).map(|c| c.select(chosen.iter().copied())),
        }
    }

    /// The batch on `device` as points of `shape`, for a prior with conditions of the kind `condition`.
    pub fn points(
        &self,
        shape: PointShape,
        condition: Option<ConditionKind>,
        device: &Device,
    ) -> Points {
        let values = shape.tensor(self.values.clone(), device);
        let [count, ..] = values.dims();
        let encode = |kind: ConditionKind| kind.encode(self.conditions.as_ref(), count, device);
        Points {
            values,
            condition: condition.map(encode),
        }
    }
}

/// Data and settings of a fit.
pub struct Fit<'a> {
    pub shape: PointShape,
    /// Kind of the points' conditions.
    pub condition: Option<ConditionKind>,
    /// The probability that a condition is replaced by "none" in training.
    pub dropout: f64,
    pub schedule: &'a Schedule,
    /// Returns the batch of a step.
    pub next: &'a mut dyn FnMut(u64) -> Result<Batch>,
    /// Held-out points, used to choose checkpoints.
    pub held_out: &'a Batch,
    /// Test points if available; they choose nothing.
    pub test: Option<&'a Batch>,
    /// The exact velocity, if known.
    pub exact: Option<&'a ExactMixture>,
    /// Conversion of NLLs to bits per dimension, if features are integer levels.
    pub bits: Option<Bits>,
    /// The logit that batches and parts have passed through, whose Jacobian belongs to an NLL of points.
    pub logit: Option<Logit>,
    /// Source of random numbers.
    pub streams: Streams,
}

/// A fitted prior and the figures of its loss.
pub struct Fitted {
    /// The prior, on the device without autodiff.
    pub prior: Box<dyn Prior>,
    /// Losses that are not NLLs; they come first among the stage's figures.
    pub figures: Summary,
}

impl Fitted {
    /// The prior of points, from that of their logits.
    pub fn of_points(self, logit: Option<Logit>) -> Self {
        Self {
            prior: OfLogits::wrapping(self.prior, logit),
            ..self
        }
    }
}
