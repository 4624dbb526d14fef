//! The surrogate in a round of a search in latents: a Gaussian process fitted to the evaluations, and draws of
//! it.

use super::{Job, Shown, Tensors};
use latent_align_stages::Result;
use latent_align_stages::gaussian_process::{Family, Fit, Points, Posterior, Size, draws, fit};
use latent_align_stages::random::Streams;

/// Evaluations, and those used for fitting settings.
pub const EVALUATIONS: usize = 1500;
pub const FITTED_TO: usize = 300;
/// Steps of the fit.
pub const STEPS: usize = 40;
/// Tokens of a latent and their width.
pub const TOKENS: usize = 8;
pub const WIDTH: usize = 16;
/// Regions of a round, candidates in each, functions drawn for each region and their features.
pub const REGIONS: usize = 5;
pub const CANDIDATES: usize = 500;
pub const DRAWS: usize = 20;
pub const FEATURES: usize = 512;

/// The defaults of `optimise_latents` with 1,500 evaluations.
pub struct Surrogate {
    latents: Vec<f32>,
    values: Vec<f64>,
    candidates: Vec<f32>,
}

impl Surrogate {
    pub fn new() -> Self {
        let draw = |name, count| Streams::new(0).normal(name, 0, count * TOKENS * WIDTH);
        let latents = draw("latents", EVALUATIONS);
        let values = latents.chunks(TOKENS * WIDTH);
        Self {
            values: values.map(|row| f64::from(row[0] + row[1].sin())).collect(),
            latents,
            candidates: draw("candidates", REGIONS * CANDIDATES),
        }
    }

    fn posterior(&self) -> Result<Posterior> {
        let points = Points::new(&self.latents, TOKENS, WIDTH);
        let some: Vec<usize> = (0..FITTED_TO).collect();
        let start = Fit::expected(Family::Matern, TOKENS, WIDTH);
        let fitted = fit(
            &start,
            &points.select(&some),
            &self.values[..FITTED_TO],
            STEPS,
        )?;
        let size = Size {
            exact: EVALUATIONS,
            inducing: FEATURES,
        };
        Posterior::new(&fitted, &points, &self.values, size)
    }
}

impl Job for Surrogate {
    fn step(&mut self) -> Result<()> {
        let posterior = self.posterior()?;
        let mut rng = Streams::new(1).at("draws", 0);
        for region in self.candidates.chunks(CANDIDATES * TOKENS * WIDTH) {
            let points = Points::new(region, TOKENS, WIDTH);
            draws(
                &posterior,
                &posterior.locate(&points),
                DRAWS,
                FEATURES,
                &mut rng,
            );
        }
        Ok(())
    }

    /// The predictions for the candidates, without draws.
    fn show(&mut self, to: &Shown) -> anyhow::Result<()> {
        let count = REGIONS * CANDIDATES;
        let mut given = Tensors::default();
        let elements = TOKENS * WIDTH;
        given.add("latents", [EVALUATIONS, elements], self.latents.clone());
        given.add("candidates", [count, elements], self.candidates.clone());
        let values = self.values.iter().map(|&value| value as f32).collect();
        given.add("values", [EVALUATIONS], values);
        to.given(&given)?;
        let posterior = self.posterior()?;
        let candidates = Points::new(&self.candidates, TOKENS, WIDTH);
        let expected = posterior.at(&posterior.locate(&candidates));
        let mut found = Tensors::default();
        let column = |of: fn(&(f64, f64)) -> f64| expected.iter().map(|e| of(e) as f32).collect();
        found.add("mean", [count], column(|e| e.0));
        found.add("variance", [count], column(|e| e.1));
        to.found(&found)
    }
}
