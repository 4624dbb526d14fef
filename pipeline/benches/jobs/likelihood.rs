//! A whole solve of the probability-flow ODE: the NLL of points under a briefly trained flow.

use super::{Job, Size, Train, points};
use burn::tensor::{DType, Device, Tensor};
use latent_align_stages::Result;
use latent_align_stages::priors::{NllOptions, VelocityNetwork, negative_log_likelihood};
use latent_align_stages::random::Streams;
use latent_align_stages::tensors::{cast, from_f32};
use latent_align_stages::training::OptimiserConfig;

/// A flow and points of its training distribution.
pub struct Likelihood {
    flow: VelocityNetwork,
    points: Tensor<2>,
    options: NllOptions,
    /// In nats, of each point, after the last step.
    pub nll: Vec<f64>,
}

/// The tolerance of the reference solve in f64.
const REFERENCE: f64 = 1e-7;

impl Likelihood {
    /// `rows`, row-major [n, d], under `flow`.
    pub fn new(flow: VelocityNetwork, rows: Vec<f32>, size: Size, tolerance: f64) -> Self {
        let shape = [rows.len() / size.dimensions, size.dimensions];
        Self {
            points: from_f32(rows, shape, &flow.device()),
            flow,
            options: NllOptions::exact(tolerance),
            nll: Vec::new(),
        }
    }

    /// The NLL of the points in nats, in f64 with a tolerance of 1e-7.
    ///
    /// # Errors
    /// As [`Job::step`].
    pub fn reference(&self) -> Result<Vec<f64>> {
        let (flow, points) = (
            cast(self.flow.clone(), DType::F64),
            self.points.clone().cast(DType::F64),
        );
        let options = NllOptions::exact(REFERENCE);
        Ok(negative_log_likelihood(&flow, points, &options, &mut |_| Ok(()))?.values)
    }
}

impl Job for Likelihood {
    fn step(&mut self) -> Result<()> {
        let points = self.points.clone();
        self.nll =
            negative_log_likelihood(&self.flow, points, &self.options, &mut |_| Ok(()))?.values;
        Ok(())
    }
}

/// A flow trained for `steps` steps on [`points`], so that its velocity resembles that of a real flow.
///
/// # Errors
/// As [`Job::step`].
pub fn trained_flow(size: Size, steps: u64, device: &Device) -> Result<VelocityNetwork> {
    let streams = Streams::new(0);
    let mut fit = size.fit();
    fit.steps = steps;
    fit.optimiser = OptimiserConfig {
        ema: 0.0, // an average over few steps would still contain the initial zeros
        ..fit.optimiser
    };
    let trainer = fit.begin(size.dimensions, streams, device);
    let rows = points(size.dimensions, 256 * size.batch, streams);
    let mut train = Train::resume(fit, trainer, rows, streams);
    for _ in 0..steps {
        train.step()?;
    }
    Ok(train.averaged())
}
