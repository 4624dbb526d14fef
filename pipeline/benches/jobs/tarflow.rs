//! One training step of a TarFlow, and its samples.

use super::{Job, Shown, Tensors};
use burn::tensor::Device;
use latent_align_stages::Result;
use latent_align_stages::priors::{PointShape, Steps, Sweeps, TarFlow, TarFlowSteps};
use latent_align_stages::random::Streams;
use latent_align_stages::training::OptimiserConfig;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A TarFlow and the points of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TarSize {
    pub tokens: usize,
    /// Numbers per token.
    pub width: usize,
    pub blocks: usize,
    pub layers: usize,
    pub channels: usize,
    pub head_width: usize,
    /// Points per step.
    pub batch: usize,
}

impl TarSize {
    /// The 8 x 8 digits in patches of 2.
    pub const DIGITS: Self = Self {
        tokens: 16,
        width: 4,
        blocks: 4,
        layers: 2,
        channels: 64,
        head_width: 64,
        batch: 64,
    };

    /// MNIST in patches of 4.
    pub const MNIST: Self = Self {
        tokens: 49,
        width: 16,
        blocks: 4,
        layers: 4,
        channels: 128,
        head_width: 64,
        batch: 128,
    };

    pub const ALL: [Self; 2] = [Self::DIGITS, Self::MNIST];
}

impl fmt::Display for TarSize {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self {
            tokens,
            width,
            blocks,
            layers,
            channels,
            batch,
            ..
        } = self;
        write!(
            f,
            "{tokens} x {width}, {blocks} blocks of {layers} layers, {channels} channels, {batch} points"
        )
    }
}

/// A TarFlow trained on random points, repeatedly.
pub struct TrainTarFlow {
    steps: TarFlowSteps,
    rows: Vec<f32>,
    of_batch: usize,
    done: usize,
}

/// Batches of random rows.
const BATCHES: usize = 16;

impl TrainTarFlow {
    pub fn new(size: TarSize, device: &Device) -> Self {
        let streams = Streams::new(0);
        let shape = PointShape {
            tokens: size.tokens,
            width: size.width,
        };
        let flow = TarFlow {
            blocks: size.blocks,
            layers: size.layers,
            channels: size.channels,
            head_width: size.head_width,
            ..TarFlow::default()
        };
        let optimiser = OptimiserConfig::default();
        let of_batch = size.batch * shape.elements();
        Self {
            steps: flow.begin(shape, &optimiser, 1 << 32, streams, device),
            rows: streams.normal("rows", 0, BATCHES * of_batch),
            of_batch,
            done: 0,
        }
    }
}

impl TrainTarFlow {
    /// Batch `number` of the rows, one of the first.
    fn batch(&self, number: usize) -> Vec<f32> {
        let first = number % BATCHES * self.of_batch;
        self.rows[first..first + self.of_batch].to_vec()
    }

    /// Writes perturbed weights, and a batch; results are written by others.
    fn show_given(&mut self, to: &Shown) -> anyhow::Result<()> {
        let file = to.file("model");
        to.module("model", self.steps.module())?;
        let mut weights = Tensors::read(&file)?;
        weights.perturb(SCALE, Streams::new(6));
        weights.write(&file)?;
        self.steps.load(&file)?;
        let mut given = Tensors::default();
        given.add("rows", [self.of_batch], self.batch(0));
        to.given(&given)
    }
}

/// The standard deviation of the noise added to fresh weights, some of which are zero.
const SCALE: f32 = 0.02;

/// The NLLs of points, without gradients.
pub struct NllTarFlow(TrainTarFlow);

impl NllTarFlow {
    pub fn new(size: TarSize, device: &Device) -> Self {
        Self(TrainTarFlow::new(size, device))
    }
}

impl Job for NllTarFlow {
    fn step(&mut self) -> Result<()> {
        self.0.done += 1;
        self.0.steps.nll(self.0.batch(self.0.done)).map(drop)
    }

    fn show(&mut self, to: &Shown) -> anyhow::Result<()> {
        self.0.show_given(to)?;
        let nll: Vec<f32> = (self.0.steps.nll(self.0.batch(0))?.into_iter())
            .map(|nll| nll as f32)
            .collect();
        let mut found = Tensors::default();
        found.add("nll", [nll.len()], nll);
        to.found(&found)
    }
}

/// Samples of a TarFlow, with cached keys and values or without.
pub struct SampleTarFlow {
    flow: TrainTarFlow,
    noise: Vec<f32>,
    steps: Steps,
}

impl SampleTarFlow {
    pub fn new(size: TarSize, cached: bool, device: &Device) -> Self {
        let numbers = size.batch * size.tokens * size.width;
        Self {
            flow: TrainTarFlow::new(size, device),
            noise: Streams::new(1).normal("noise", 0, numbers),
            steps: match cached {
                true => Steps::Adaptive(0.1),
                // as many sweeps over all tokens as tokens minus one: an untrained flow would converge immediately
                false => Steps::Parallel(Sweeps {
                    tolerance: -1.0,
                    tokens: 0,
                }),
            },
        }
    }
}

impl Job for SampleTarFlow {
    fn step(&mut self) -> Result<()> {
        self.flow
            .steps
            .draw(self.noise.clone(), self.steps)
            .map(drop)
    }

    fn show(&mut self, to: &Shown) -> anyhow::Result<()> {
        self.flow.show_given(to)?;
        let mut given = Tensors::default();
        given.add("noise", [self.noise.len()], self.noise.clone());
        to.given(&given)?;
        let drawn = self.flow.steps.draw(self.noise.clone(), self.steps)?;
        let mut found = Tensors::default();
        found.add("samples", [drawn.len()], drawn);
        to.found(&found)
    }
}

impl Job for TrainTarFlow {
    fn step(&mut self) -> Result<()> {
        self.steps.step(self.batch(self.done));
        self.done += 1;
        Ok(())
    }

    fn show(&mut self, to: &Shown) -> anyhow::Result<()> {
        self.show_given(to)?;
        let loss = self.steps.loss(self.batch(0));
        to.loss_and_gradient(self.steps.module(), loss)
    }
}
