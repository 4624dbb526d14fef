//! A kind of prior as it is configured, and what it is fitted to.

use super::bits::Bits;
use super::condition::{ConditionKind, Conditions};
use super::drawing::Ways;
use super::flow_matching::ExactMixture;
use super::prior::{NllKind, Placement, PointShape, Points, Prior};
use crate::context::{Context, Summary};
use crate::devices::Numbers;
use crate::error::Result;
use crate::problems::Problems;
use crate::random::Streams;
use crate::training::OptimiserConfig;
use burn::tensor::Device;
use std::path::Path;

/// A prior's part of a checkpoint.
pub(super) const PART: &str = "flow";

/// A kind of prior, as it is configured.
pub trait PriorConfig {
    /// Notes every value out of range.
    fn check(&self, _problems: &mut Problems) {}

    /// Notes what does not go with `schedule`.
    fn check_with(&self, _schedule: &Schedule, _problems: &mut Problems) {}

    /// The numbers that training takes its matrix products in, by the key that asks for them.
    fn numbers(&self) -> Option<Numbers> {
        None
    }

    /// What it offers a regulariser beside its density.
    fn offers(&self) -> Offers;

    /// What kind of number its NLL is.
    fn nll(&self) -> NllKind {
        NllKind::Exact
    }

    /// Whether it takes conditions.
    fn conditional(&self) -> bool {
        false
    }

    /// What it can do on the way from noise to points.
    fn ways(&self) -> Ways;

    /// Says what it expects of points, if not these.
    ///
    /// # Errors
    /// The end of the sentence "expected ...".
    fn check_shape(&self, _shape: PointShape) -> std::result::Result<(), String> {
        Ok(())
    }

    /// The parameters that it has over points of `shape`, before any memory is taken for them.
    fn parameters(&self, shape: PointShape, condition: Option<ConditionKind>) -> u128;

    /// Fits it to what `fit` gives, and goes on where `context` says.
    ///
    /// # Errors
    /// [`crate::error::Error::Diverged`]; [`crate::error::Error::Cancelled`]; errors of the data.
    fn fit(&self, fit: Fit, context: &Context) -> Result<Fitted>;

    /// The prior whose weights are in the safetensors file `path`, frozen.
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

/// What a prior offers beside its density, the more the later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Offers {
    /// Nothing.
    Density,
    /// The velocity of a probability-flow ODE.
    Velocity,
}

/// How long and how fast a prior is fitted.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Optimiser and learning rate.
    pub optimiser: OptimiserConfig,
    /// Training steps.
    pub steps: u64,
    /// Points a step.
    pub batch: usize,
    /// Steps between evaluations of the held-out loss.
    pub evaluate_every: u64,
    /// Points in an evaluation.
    pub evaluation_points: usize,
    /// Evaluations without a lower held-out loss after which training stops and the best weights are taken.
    pub early_stopping: Option<u64>,
}

impl Schedule {
    /// Adds what is wrong with it to `problems`, under the keys of the stage that it is of.
    pub fn check(&self, problems: &mut Problems) {
        problems.section("optimiser", |p| self.optimiser.check(p));
        problems.at_least("steps", self.steps, 1);
        problems.at_least("batch", self.batch, 1);
        problems.at_least("evaluate_every", self.evaluate_every, 1);
        problems.at_least("evaluation_points", self.evaluation_points, 1);
        problems.at_least("early_stopping", self.early_stopping.unwrap_or(1), 1);
    }
}

#[cfg(test)]
impl Schedule {
    /// A short one for tests: an evaluation at its end.
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

/// Points on the host, and what each is conditioned on.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Row-major [n, T, d].
    pub values: Vec<f32>,
    /// One a point; none for a prior that takes none.
    pub conditions: Option<Conditions>,
}

impl Batch {
    /// Points that are conditioned on nothing.
    pub fn new(values: Vec<f32>) -> Self {
        let conditions = None;
        Self { values, conditions }
    }

    /// The rows `chosen` of `width` numbers each, in that order, with their conditions.
    pub fn select(&self, width: usize, chosen: &[usize]) -> Self {
        let row = |&i: &usize| self.values[i * width..(i + 1) * width].iter();
        Self {
            values: chosen.iter().flat_map(row).copied().collect(),
            conditions: (self.conditions.as_ref()).map(|c| c.select(chosen.iter().copied())),
        }
    }

    /// The same on `device` as points of `shape`, for a prior that takes conditions of the kind `condition`.
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

/// What a prior is fitted to.
pub struct Fit<'a> {
    /// The shape of a point.
    pub shape: PointShape,
    /// What points are conditioned on.
    pub condition: Option<ConditionKind>,
    /// The probability that a condition is replaced by "none" in training.
    pub dropout: f64,
    /// How long and how fast.
    pub schedule: &'a Schedule,
    /// The batch of a step.
    pub next: &'a mut dyn FnMut(u64) -> Result<Batch>,
    /// Held-out points, which choose checkpoints.
    pub held_out: &'a Batch,
    /// Test points, where there are some, which choose nothing.
    pub test: Option<&'a Batch>,
    /// The velocity that a perfect flow would have, where it is known.
    pub exact: Option<&'a ExactMixture>,
    /// What turns NLLs into bits a dimension, where features are whole levels.
    pub bits: Option<Bits>,
    /// Where random numbers come from.
    pub streams: Streams,
}

/// A fitted prior, and the figures of its own loss.
pub struct Fitted {
    /// The prior, on the device without autodiff.
    pub prior: Box<dyn Prior>,
    /// Its losses, where they are no NLL; first among the figures of the stage.
    pub figures: Summary,
}
