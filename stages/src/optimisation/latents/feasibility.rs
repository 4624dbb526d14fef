//! The probability that a sequence is feasible, predicted from its cost under the model and from the evaluated
//! sequences with the same adjacent tokens: most infeasible sequences have one token that never follows the tokens
//! before it.

use super::adjacent::{Adjacent, Doubts};
use crate::numerics::{mean, variance_of_mean};
use crate::sequences::{Cost, Sequence};
use nalgebra::{SMatrix, SVector};

/// Logistic regression on the cost of the worst token and on the mean cost, in standard deviations of feasible
/// sequences, and on the numbers of adjacent pairs of tokens that are unknown and suspected.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Feasibility {
    /// Mean and standard deviation over feasible sequences, of the cost of the worst token and of the mean cost.
    worst: [f64; 2],
    mean: [f64; 2],
    adjacent: Adjacent,
    weights: Features,
}

/// 1, the cost of the worst token, the mean cost, the unknown pairs, the suspected pairs.
type Features = SVector<f64, 5>;

/// The prior mean of the weights: a typical sequence is feasible with probability 0.95, one whose worst token is
/// three standard deviations above the typical one, or with three suspected pairs, with 0.5.
const EXPECTED: [f64; 5] = [3.0, -1.0, 0.0, 0.0, -1.0];
/// The inverse variances of the prior over weights.
const PRECISION: [f64; 5] = [0.25, 1.0, 1.0, 1.0, 1.0];
/// The largest feature; larger ones are clipped.
const LARGEST: f64 = 10.0;
/// Steps of Newton's method; it converges in fewer.
const STEPS: usize = 30;

impl Feasibility {
    /// Fits evaluated sequences with their costs, each with whether it is feasible; at least one is.
    pub fn new(evaluated: &[(&Sequence, Cost, bool)]) -> Self {
        let feasible = evaluated.iter().filter(|(.., feasible)| *feasible);
        let scale = |of: fn(&Cost) -> f64| {
            let values = feasible.clone().map(|(_, cost, _)| of(cost));
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
            adjacent: Adjacent::of((evaluated.iter()).map(|(sequence, _, of)| (*sequence, *of))),
            weights: Features::from(EXPECTED),
        };
        let rows = evaluated.iter().map(|(sequence, cost, feasible)| {
            let label = if *feasible { 1.0 } else { 0.0 };
            let doubts = model.adjacent.doubts_of_others(sequence, *feasible);
            (model.features(cost, doubts), label)
        });
        let rows: Vec<(Features, f64)> = rows.collect();
        let precision = Features::from(PRECISION);
        for _ in 0..STEPS {
            let off = model.weights - Features::from(EXPECTED);
            let mut gradient = -precision.component_mul(&off);
            let mut curvature = SMatrix::<f64, 5, 5>::from_diagonal(&precision);
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

    /// 1, the two costs in standard deviations, and the two counts, clipped at [`LARGEST`], which also stands for
    /// costs that are not finite.
    fn features(&self, cost: &Cost, doubts: Doubts) -> Features {
        let of = |value: f64, [mean, spread]: [f64; 2]| match value.is_finite() {
            true => ((value - mean) / spread).clamp(-LARGEST, LARGEST),
            false => LARGEST,
        };
        let count = |of: usize| (of as f64).min(LARGEST);
        let (worst, mean) = (of(cost.worst, self.worst), of(cost.mean, self.mean));
        Features::from([
            1.0,
            worst,
            mean,
            count(doubts.unknown),
            count(doubts.suspected),
        ])
    }

    /// The probability that `sequence`, which was not evaluated and has this `cost`, is feasible.
    pub fn probability(&self, sequence: &Sequence, cost: &Cost) -> f64 {
        let features = self.features(cost, self.adjacent.doubts(sequence));
        logistic(features.dot(&self.weights))
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

    /// A model of sequences of one token, which have no pairs.
    fn of_costs(costs: &[(Cost, bool)]) -> Feasibility {
        let one = vec![0];
        let all = costs.iter().map(|&(cost, feasible)| (&one, cost, feasible));
        Feasibility::new(&all.collect::<Vec<_>>())
    }

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
        let model = of_costs(&seen);
        for worst in [2.0, 5.0, 6.0, 7.0, 9.5] {
            let found = model.probability(&vec![0], &Cost { worst, mean: 1.0 });
            let expected = truth(worst);
            assert!(
                (found - expected).abs() < 0.06,
                "{worst}: {found} {expected}"
            );
        }
    }

    #[test]
    fn before_anything_infeasible_was_seen_dear_tokens_are_doubted() {
        let model = of_costs(&costs(100, |_, _| true));
        let at = |worst: f64| model.probability(&vec![0], &Cost { worst, mean: 1.0 });
        assert!(at(5.0) > 0.9 && at(40.0) < 0.5, "{} {}", at(5.0), at(40.0));
        // one sequence has no spread, and infinite costs have no scale
        let one = Cost {
            worst: 3.0,
            mean: 1.0,
        };
        let model = of_costs(&[(one, true)]);
        assert!(model.probability(&vec![0], &one) > 0.9);
        let infinite = Cost {
            worst: f64::INFINITY,
            mean: f64::NAN,
        };
        assert!(model.probability(&vec![0], &infinite) < 0.1);
        let model = of_costs(&[(one, true), (infinite, true), (infinite, false)]);
        assert!(model.probability(&vec![0], &one) > 0.5);
    }

    #[test]
    fn labels_that_a_threshold_parts_leave_the_weights_finite() {
        let model = of_costs(&costs(2000, |worst, _| worst < 5.0));
        let at = |worst: f64| model.probability(&vec![0], &Cost { worst, mean: 1.0 });
        assert!(at(4.0) > 0.9 && at(6.0) < 0.1, "{} {}", at(4.0), at(6.0));
    }

    /// Sequences of one cost, feasible unless they contain a forbidden pair: costs say nothing about it.
    #[test]
    fn pairs_that_only_infeasible_sequences_have_are_avoided() {
        let mut rng = Streams::new(5).at("pairs", 0);
        let forbidden = |pair: &[u32]| (pair[0] * 7 + pair[1] * 3).is_multiple_of(5);
        let mut draw = || -> Sequence { (0..6).map(|_| rng.random_range(0..12)).collect() };
        let cost = Cost {
            worst: 2.0,
            mean: 1.0,
        };
        let seen: Vec<Sequence> = (0..400).map(|_| draw()).collect();
        let allowed = |sequence: &Sequence| !sequence.windows(2).any(forbidden);
        let rows = seen
            .iter()
            .map(|sequence| (sequence, cost, allowed(sequence)));
        let model = Feasibility::new(&rows.collect::<Vec<_>>());
        let (mut of_allowed, mut of_forbidden) = (Vec::new(), Vec::new());
        for _ in 0..400 {
            let sequence = draw();
            let p = model.probability(&sequence, &cost);
            if allowed(&sequence) {
                &mut of_allowed
            } else {
                &mut of_forbidden
            }
            .push(p);
        }
        let (allowed, forbidden) = (mean(&of_allowed), mean(&of_forbidden));
        assert!(allowed > 0.7 && forbidden < 0.2, "{allowed} {forbidden}");
    }
}
