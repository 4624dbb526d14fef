//! What is believed of sequences that were not evaluated: their scores, and whether they are feasible.

use super::config::SurrogateConfig;
use super::warp::Warp;
use crate::error::Result;
use crate::gaussian_process::{Fit, Points, Posterior, draws, fit};
use rand::RngExt;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Gaussian processes over the scores of feasible sequences and, where some are infeasible, over feasibility.
pub(super) struct Surrogate {
    warp: Warp,
    objective: Posterior,
    /// Of 1 for a feasible sequence and -1 for another.
    feasibility: Option<Posterior>,
}

/// Where the fits of the settings start from, and end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Fits {
    objective: Option<Fit>,
    feasibility: Option<Fit>,
}

/// Latents that were evaluated, T tokens of width d.
pub(super) struct Evaluated<'a> {
    /// [n, T d].
    pub latents: &'a [f32],
    pub tokens: usize,
    pub width: usize,
    /// To be high; none where infeasible. One at least is feasible.
    pub values: &'a [Option<f64>],
}

impl Surrogate {
    /// Of what was `evaluated`, settings fitted from `fits` on, which become the new ones.
    ///
    /// # Errors
    /// A numerical error where latents or values are not finite.
    pub fn new(
        evaluated: &Evaluated,
        config: &SurrogateConfig,
        fits: &mut Fits,
        rng: &mut Pcg64,
    ) -> Result<Self> {
        let Evaluated {
            latents,
            tokens,
            width,
            values,
        } = *evaluated;
        let points = Points::new(latents, tokens, width);
        let feasible: Vec<usize> = (0..values.len()).filter(|&i| values[i].is_some()).collect();
        let scores: Vec<f64> = values.iter().flatten().copied().collect();
        let (warp, quantiles) = Warp::new(&scores);
        let mut solve = |points: &Points, values: &[f64], start: &mut Option<Fit>| {
            let from = start.take();
            let mut from = from.unwrap_or_else(|| Fit::expected(config.kernel, tokens, width));
            from.mean = values.iter().sum::<f64>() / values.len() as f64;
            let chosen = best_and_others(values, config.fitted_to, rng);
            let some: Vec<f64> = chosen.iter().map(|&i| values[i]).collect();
            let fitted = fit(&from, &points.select(&chosen), &some, config.steps)?;
            let posterior = Posterior::new(&fitted, points, values, config.size());
            *start = Some(fitted);
            posterior
        };
        let objective = solve(&points.select(&feasible), &quantiles, &mut fits.objective)?;
        let feasibility = (feasible.len() < values.len()).then(|| {
            let labels = values.iter().map(|v| if v.is_some() { 1.0 } else { -1.0 });
            let labels: Vec<f64> = labels.collect();
            solve(&points, &labels, &mut fits.feasibility)
        });
        Ok(Self {
            warp,
            objective,
            feasibility: feasibility.transpose()?,
        })
    }

    /// `count` draws of what it believes of `points`, by `features` random Fourier features: of each point whether it is
    /// feasible, and its score if it is, else how nearly.
    pub fn hopes(
        &self,
        points: &Points,
        count: usize,
        features: usize,
        rng: &mut Pcg64,
    ) -> Vec<Vec<(bool, f64)>> {
        let scores = draws(&self.objective, points, count, features, rng);
        let feasibility = (self.feasibility.as_ref())
            .map(|posterior| draws(posterior, points, count, features, rng));
        let hope = |point: usize, draw: usize| match &feasibility {
            Some(feasible) if feasible[(point, draw)] <= 0.0 => (false, feasible[(point, draw)]),
            _ => (true, scores[(point, draw)]),
        };
        let of_draw = |draw| (0..points.count()).map(|point| hope(point, draw)).collect();
        (0..count).map(of_draw).collect()
    }

    /// The expected value and its standard deviation at each of `points`, if they are feasible.
    pub fn expects(&self, points: &Points) -> Vec<(f64, f64)> {
        let at = self.objective.at(points).into_iter();
        at.map(|(mean, variance)| {
            let spread = variance.sqrt();
            let (low, high) = (
                self.warp.value(mean - spread),
                self.warp.value(mean + spread),
            );
            (self.warp.value(mean), (high - low) / 2.0)
        })
        .collect()
    }
}

/// `count` places in `values`, half of them the highest, the others drawn from the rest; all where there are no more.
fn best_and_others(values: &[f64], count: usize, rng: &mut Pcg64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    if values.len() > count {
        for place in count / 2..count {
            order.swap(place, rng.random_range(place..values.len()));
        }
        order.truncate(count);
    }
    order
}
