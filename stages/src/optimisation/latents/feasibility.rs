//! The probability that a sequence is feasible, predicted from its cost under the model: most infeasible sequences
//! have one token that never follows the tokens before it, which is costly.

use crate::numerics::{mean, variance_of_mean};
use crate::sequences::Cost;
use nalgebra::{Matrix3, Vector3};

/// Logistic regression on the cost of the worst token and on the mean cost, in standard deviations of feasible
/// sequences.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Feasibility {
    /// Mean and standard deviation over feasible sequences, of the cost of the worst token and of the mean cost.
    worst: [f64; 2],
    mean: [f64; 2],
    weights: Vector3<f64>,
}

/// The prior mean of the weights: a typical sequence is feasible with probability 0.95, one whose worst token is
/// three standard deviations above the typical one with 0.5.
const EXPECTED: [f64; 3] = [3.0, -1.0, 0.0];
/// The inverse variances of the prior over weights.
const PRECISION: [f64; 3] = [0.25, 1.0, 1.0];
/// The largest feature in standard deviations; larger ones are clipped.
const LARGEST: f64 = 10.0;
/// Steps of Newton's method; it converges in fewer.
const STEPS: usize = 30;

impl Feasibility {
    /// Fits sequences with these `costs`, each with whether it is feasible; at least one is.
    pub fn new(costs: &[(Cost, bool)]) -> Self {
        let feasible = costs.iter().filter(|(_, feasible)| *feasible);
        let scale = |of: fn(&Cost) -> f64| {
            let values = feasible.clone().map(|(cost, _)| of(cost));
            let values: Vec<f64> = values.filter(|cost| cost.is_finite()).collect();
            let spread = (variance_of_mean(&values) * values.len() as f64).sqrt();
            match values.is_empty() {
                true => [0.0, 1.0],
                false => [mean(&values), if spread > 0.0 { spread } else { 1.0 }],
            }
        };
        let mut model = Self {
            worst: scale(|cost| cost.worst),
            mean: scale(|cost| cost.mean),
            weights: Vector3::from(EXPECTED),
        };
        let rows = costs.iter().map(|(cost, feasible)| {
            let label = if *feasible { 1.0 } else { 0.0 };
            (model.features(cost), label)
        });
        let rows: Vec<(Vector3<f64>, f64)> = rows.collect();
        let precision = Vector3::from(PRECISION);
        for _ in 0..STEPS {
            let off = model.weights - Vector3::from(EXPECTED);
            let mut gradient = -precision.component_mul(&off);
            let mut curvature = Matrix3::from_diagonal(&precision);
            for (x, label) in &rows {
                let p = logistic(x.dot(&model.weights));
                gradient += x * (label - p);
                curvature += x * x.transpose() * (p * (1.0 - p));
            }
            let step = curvature
                .cholesky()
                .expect("positive definite by the prior");
            let step = step.solve(&gradient);
            // limits the step: far from the solution a full Newton step may overshoot
            model.weights += step * (2.0 / step.norm()).min(1.0);
        }
        model
    }

    /// 1, and the two costs in standard deviations, clipped at [`LARGEST`], also for costs that are not finite.
    fn features(&self, cost: &Cost) -> Vector3<f64> {
        let of = |value: f64, [mean, spread]: [f64; 2]| match value.is_finite() {
            true => ((value - mean) / spread).clamp(-LARGEST, LARGEST),
            false => LARGEST,
        };
        Vector3::new(1.0, of(cost.worst, self.worst), of(cost.mean, self.mean))
    }

    /// The probability that a sequence with this `cost` is feasible.
    pub fn probability(&self, cost: &Cost) -> f64 {
        logistic(self.features(cost).dot(&self.weights))
    }
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;
    use rand::RngExt;

    fn costs(count: usize, feasible: impl Fn(f64, f64) -> bool) -> Vec<(Cost, bool)> {
        let mut rng = Streams::new(3).at("costs", 0);
        let mut one = || {
            let worst = 10.0 * rng.random::<f64>();
            let mean = 2.0 * rng.random::<f64>();
            (Cost { worst, mean }, feasible(worst, rng.random()))
        };
        (0..count).map(|_| one()).collect()
    }

    /// Fails if costs are scaled differently in the fit and in predictions, or the prior outweighs a thousand
    /// sequences.
    #[test]
    fn probabilities_are_those_that_labels_were_drawn_with() {
        let truth = |worst: f64| logistic(1.5 * (6.0 - worst));
        let seen = costs(3000, |worst, uniform| uniform < truth(worst));
        let model = Feasibility::new(&seen);
        for worst in [2.0, 5.0, 6.0, 7.0, 9.5] {
            let found = model.probability(&Cost { worst, mean: 1.0 });
            let expected = truth(worst);
            assert!(
                (found - expected).abs() < 0.06,
                "{worst}: {found} {expected}"
            );
        }
    }

    #[test]
    fn before_anything_infeasible_was_seen_dear_tokens_are_doubted() {
        let model = Feasibility::new(&costs(100, |_, _| true));
        let at = |worst: f64| model.probability(&Cost { worst, mean: 1.0 });
        assert!(at(5.0) > 0.9 && at(40.0) < 0.5, "{} {}", at(5.0), at(40.0));
        // one sequence has no spread, and infinite costs have no scale
        let one = Cost {
            worst: 3.0,
            mean: 1.0,
        };
        let model = Feasibility::new(&[(one, true)]);
        assert!(model.probability(&one) > 0.9);
        let infinite = Cost {
            worst: f64::INFINITY,
            mean: f64::NAN,
        };
        assert!(model.probability(&infinite) < 0.1);
        let model = Feasibility::new(&[(one, true), (infinite, true), (infinite, false)]);
        assert!(model.probability(&one) > 0.5);
    }

    #[test]
    fn labels_that_a_threshold_parts_leave_the_weights_finite() {
        let model = Feasibility::new(&costs(2000, |worst, _| worst < 5.0));
        let at = |worst: f64| model.probability(&Cost { worst, mean: 1.0 });
        assert!(at(4.0) > 0.9 && at(6.0) < 0.1, "{} {}", at(4.0), at(6.0));
    }
}
