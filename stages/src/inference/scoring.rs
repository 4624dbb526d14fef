//! Scores of points under a flow: their NLL, and the alignment loss under each weighting.

use crate::alignment::{Draws, Estimates, Weighted, Weighting};
use crate::error::Result;
use crate::likelihood::Precision;
use crate::priors::{
    Batch, Divergence, Flow, Nll, NllOptions, Placement, Points, Progress, VelocityField,
};
use crate::random::Streams;
use burn::tensor::Device;
use std::path::Path;

/// Scoring options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoringConfig {
    /// (t, noise) draws of the alignment loss under each weighting, shared by all points.
    pub draws: usize,
    /// The largest ratio R = t / (1 - t) in the likelihood weighting.
    pub truncation: f64,
    /// Tolerance of an NLL in nats.
    pub tolerance: f64,
    /// How the divergence of the velocity is evaluated.
    pub divergence: Divergence,
    /// The precision of likelihoods and losses.
    pub precision: Precision,
}

/// A flow with draws and options, shared by all points.
pub struct Scoring {
    flow: Flow,
    /// The exact velocity, if known.
    exact: Option<Box<dyn VelocityField>>,
    /// One for each of [`Weighting::ALL`], for a flow with a velocity.
    draws: Option<[Draws; Weighting::ALL.len()]>,
    options: NllOptions,
}

/// Scores of a batch of points.
pub struct Scores {
    /// Under the flow.
    pub likelihoods: Nll,
    /// The analytic NLL, if known.
    pub analytic: Option<Vec<f64>>,
    /// The alignment loss under each of [`Weighting::ALL`]; empty for a flow without a velocity, and for points
    /// with a condition, since the loss uses the unconditional velocity.
    pub losses: Vec<Estimates>,
    /// The same with the exact velocity, if known.
    pub exact_losses: Option<Vec<Estimates>>,
}

impl Scoring {
    /// Streams of draws and probes: those of `estimate-nll`, so that `score` reproduces its figures.
    pub fn streams(seed: u64) -> Streams {
        Streams::of_stage("estimate-nll", seed)
    }

    /// Loads the flow in the directory `dir` to `device`, with gradients if requested; draws use `seed`.
    ///
    /// # Errors
    /// As [`Flow::load`].
    pub fn new(
        config: &ScoringConfig,
        dir: &Path,
        seed: u64,
        device: &Device,
        gradients: bool,
    ) -> Result<Self> {
        let dtype = config.precision.dtype();
        let place = Placement {
            dtype,
            gradients,
            ..Placement::on(device)
        };
        let flow = Flow::load(dir, &place)?;
        let streams = Self::streams(seed);
        let elements = flow.prior.shape().elements();
        let exact = match flow.prior.velocity() {
            Some(_) => flow.exact_field(dtype, device),
            None => None,
        };
        let draws = flow.prior.velocity().map(|_| {
            Weighting::ALL.map(|weighting| {
                let weighted = Weighted {
                    weighting,
                    truncation: config.truncation,
                };
                Draws::new(weighted, config.draws, elements, streams)
            })
        });
        Ok(Self {
            exact: exact.map(|field| Box::new(field) as Box<dyn VelocityField>),
            draws,
            options: NllOptions {
                tolerance: config.tolerance,
                divergence: config.divergence,
                streams,
            },
            flow,
        })
    }

    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// The draws for each of [`Weighting::ALL`]; None for a flow without a velocity.
    pub fn draws(&self) -> Option<&[Draws; Weighting::ALL.len()]> {
        self.draws.as_ref()
    }

    /// How likelihoods are computed.
    pub fn options(&self) -> &NllOptions {
        &self.options
    }

    /// Moves points and their conditions from the host to the device in the requested precision.
    pub fn points(&self, batch: &Batch) -> Points {
        let prior = &self.flow.prior;
        let points = batch.points(prior.shape(), prior.condition(), &prior.device());
        Points {
            values: points.values.cast(prior.dtype()),
            condition: points.condition.map(|c| c.cast(prior.dtype())),
        }
    }

    /// Scores the points `batch` of the flow. `progress` receives the finished fraction.
    ///
    /// # Errors
    /// A numerical error if a score is not finite; errors of `progress`; device errors.
    pub fn score(&self, batch: &Batch, progress: Progress) -> Result<Scores> {
        let points = self.points(batch);
        let mut estimate = |field: &dyn VelocityField, from: f64| -> Result<Vec<Estimates>> {
            let of = |draws: &Draws| draws.estimate(field, points.rows(), || progress(from));
            self.draws.iter().flatten().map(of).collect()
        };
        // solving takes most of the time
        let prior = self.flow.prior.as_ref();
        let losses = match (prior.velocity(), &batch.conditions) {
            (Some(velocity), None) => estimate(velocity, 0.0)?,
            _ => Vec::new(),
        };
        let exact_losses = (self.exact.as_deref())
            .map(|field| estimate(field, 0.25))
            .transpose()?;
        let likelihoods = prior.nll(&points, &self.options, &mut |share| {
            progress(0.375 + 0.625 * share)
        })?;
        Ok(Scores {
            likelihoods,
            analytic: self.flow.analytic_nll(&batch.values),
            losses,
            exact_losses,
        })
    }
}
