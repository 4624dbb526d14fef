//! Predictions for sequences that were not evaluated: their scores and their feasibility.

use super::config::{SurrogateConfig, SurrogateInput};
use super::feasibility::Feasibility;
use super::pairs::Pairs;
use super::scale::Scale;
use crate::error::Result;
use crate::gaussian_process::{Fit, Located, Points, Posterior, draws, fit};
use crate::numerics::mean;
use crate::sequences::{Cost, Sequence};
use rand::RngExt;
use rand_pcg::Pcg64;

/// The value of a sequence that equals the best, without improvement: so small that an improvement by a twentieth
/// of the spread of better values counts as much, and large enough that a sequence that is almost never feasible is
/// not chosen.
const LIKE_THE_BEST: f64 = 0.05;

/// A Gaussian process over the scores of feasible sequences, and a model of feasibility.
pub(super) struct Surrogate {
    sight: Sight,
    scale: Scale,
    objective: Posterior,
    feasibility: Feasibility,
    /// The worst and the best score on the scale.
    range: [f64; 2],
}

/// The features of sequences for the process.
enum Sight {
    /// Their latents, T tokens of width d.
    Latents(usize, usize),
    /// Position-independent counts.
    Pairs(Pairs),
}

impl Sight {
    /// The points of `sequences` with these `latents`.
    fn points(&self, sequences: &[&Sequence], latents: &[f32]) -> Points {
        match self {
            Self::Latents(tokens, width) => Points::new(latents, *tokens, *width),
            Self::Pairs(pairs) => pairs.points(sequences.iter().copied()),
        }
    }
}

/// Evaluated latents, T tokens of width d.
pub(super) struct Evaluated<'a> {
    pub sequences: &'a [Sequence],
    /// [n, T d].
    pub latents: &'a [f32],
    pub tokens: usize,
    pub width: usize,
    /// To be maximised; none if infeasible. At least one is feasible.
    pub values: &'a [Option<f64>],
    /// The cost of each under the model.
    pub costs: &'a [Cost],
}

impl Surrogate {
    /// Conditions on `evaluated`; the process's settings are fitted from `start`, which is updated.
    ///
    /// # Errors
    /// A numerical error if latents or values are not finite.
    pub fn new(
        evaluated: &Evaluated,
        config: &SurrogateConfig,
        start: &mut Option<Fit>,
        rng: &mut Pcg64,
    ) -> Result<Self> {
        let Evaluated {
            sequences,
            latents,
            tokens,
            width,
            values,
            costs,
        } = *evaluated;
        let feasible: Vec<usize> = (0..values.len()).filter(|&i| values[i].is_some()).collect();
        let sequences: Vec<&Sequence> = sequences.iter().collect();
        let sight = match config.input {
            SurrogateInput::Latents => Sight::Latents(tokens, width),
            SurrogateInput::Pairs => {
                let scored: Vec<&Sequence> = feasible.iter().map(|&i| sequences[i]).collect();
                Sight::Pairs(Pairs::of(&scored))
            }
        };
        let points = sight.points(&sequences, latents).select(&feasible);
        let (tokens, width) = (points.tokens(), points.width());
        let scores: Vec<f64> = values.iter().flatten().copied().collect();
        let scale = Scale::of(&scores);
        let scaled: Vec<f64> = scores.iter().map(|&score| scale.scaled(score)).collect();
        let from = start.take();
        let mut from = from.unwrap_or_else(|| Fit::expected(config.kernel, tokens, width));
        from.mean = mean(&scaled);
        let chosen = best_and_others(&scaled, config.fitted_to, rng);
        let some: Vec<f64> = chosen.iter().map(|&i| scaled[i]).collect();
        let fitted = fit(&from, &points.select(&chosen), &some, config.steps)?;
        let objective = Posterior::new(&fitted, &points, &scaled, config.size())?;
        *start = Some(fitted);
        let weighed = sequences.iter().zip(costs).zip(values);
        let weighed = weighed.map(|((sequence, cost), value)| (*sequence, *cost, value.is_some()));
        Ok(Self {
            sight,
            scale,
            objective,
            feasibility: Feasibility::new(&weighed.collect::<Vec<_>>()),
            range: [
                scaled.iter().copied().fold(f64::INFINITY, f64::min),
                scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ],
        })
    }

    /// The points of `sequences` with these `latents` [n, T d].
    pub fn locate(&self, sequences: &[&Sequence], latents: &[f32]) -> Located {
        self.objective
            .locate(&self.sight.points(sequences, latents))
    }

    /// Whether its features are latents.
    pub fn is_of_latents(&self) -> bool {
        matches!(self.sight, Sight::Latents(..))
    }

    /// `count` draws of the acquisition value at the `points` of `sequences` with these `costs`, with `features`
    /// random Fourier features. In each draw, the acquisition value of a point is the probability that it is
    /// feasible times the sum of its improvement over the best so far, on the surrogate's scale, and
    /// [`LIKE_THE_BEST`] times its position between the worst and the best.
    pub fn hopes(
        &self,
        (sequences, points): (&[&Sequence], &Located),
        costs: &[Cost],
        count: usize,
        features: usize,
        rng: &mut Pcg64,
    ) -> Vec<Vec<f64>> {
        let scores = draws(&self.objective, points, count, features, rng);
        let likely: Vec<f64> = (sequences.iter().zip(costs))
            .map(|(sequence, cost)| self.feasibility.probability(sequence, cost))
            .collect();
        let [worst, best] = self.range;
        let width = if best > worst { best - worst } else { 1.0 };
        let hope = |point: usize, draw: usize| {
            let score = scores[(point, draw)];
            let place = ((score - worst) / width).clamp(0.0, 1.0);
            likely[point] * ((score - best).max(0.0) + LIKE_THE_BEST * place)
        };
        let of_draw = |draw| {
            (0..sequences.len())
                .map(|point| hope(point, draw))
                .collect()
        };
        (0..count).map(of_draw).collect()
    }

    /// The expected value and its standard deviation at each of `points`, given that they are feasible.
    pub fn expects(&self, points: &Located) -> Vec<(f64, f64)> {
        let at = self.objective.at(points).into_iter();
        at.map(|(mean, variance)| {
            let spread = variance.sqrt();
            let (low, high) = (
                self.scale.value(mean - spread),
                self.scale.value(mean + spread),
            );
            (self.scale.value(mean), (high - low) / 2.0)
        })
        .collect()
    }
}

/// `count` indices of `values`, half of them the largest, the others drawn from the rest; all if there are no more.
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
