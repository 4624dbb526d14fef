//! Clenshaw-Curtis quadrature with as many nodes as each point needs (Clenshaw & Curtis 1960; Trefethen, "Is Gauss
//! quadrature better than Clenshaw-Curtis?", SIAM Review 50(1), 2008).
//!
//! Doubling the intervals keeps all nodes, so that evaluations are reused. Nodes are denser towards both ends of
//! the interval, where velocities of flows change fastest.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::f64::consts::PI;

/// Intervals of the coarsest rule.
const FEWEST: usize = 16;
/// Number of intervals above which changes are treated as those of a converging series.
const CONVERGING: usize = 128;
/// Maximum number of intervals; a point's integral is then accepted as it is.
pub const MOST: usize = 2048;

/// The nodes of the rule with `intervals` intervals, ascending shares of the interval.
pub fn node(index: usize, intervals: usize) -> f64 {
    (1.0 - (PI * index as f64 / intervals as f64).cos()) / 2.0
}

/// The weights of the rule with `intervals` (even) intervals, over an interval of length 1.
pub fn weights(intervals: usize) -> Vec<f64> {
    let n = intervals;
    (0..=n)
        .map(|j| {
            let angle = PI * j as f64 / n as f64;
            let sum: f64 = (1..=n / 2)
                .map(|k| {
                    let twice = if 2 * k == n { 1.0 } else { 2.0 };
                    twice * (2.0 * k as f64 * angle).cos() / (4.0 * (k * k) as f64 - 1.0)
                })
                .sum();
            let end = if j == 0 || j == n { 0.5 } else { 1.0 };
            end * (1.0 - sum) / n as f64
        })
        .collect()
}

/// Integrals of many points.
pub struct Integrals {
    /// Per point [n, q].
    pub values: Vec<f64>,
    /// Number of evaluations at one point.
    pub evaluations: u64,
    /// Intervals of the rule that each point needed.
    pub intervals: Vec<usize>,
    /// Whether each point converged; false if the finest rule left more than the tolerance.
    pub settled: Vec<bool>,
}

impl Integrals {
    /// Intervals of the finest rule in use.
    pub fn finest(&self) -> usize {
        self.intervals.iter().copied().max().unwrap_or(FEWEST)
    }

    /// Indices of the points by the number of intervals they needed.
    pub fn by_intervals(&self) -> BTreeMap<usize, Vec<usize>> {
        let mut found: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (point, &intervals) in self.intervals.iter().enumerate() {
            found.entry(intervals).or_default().push(point);
        }
        found
    }
}

/// Integrates q functions at each of n points over [0, 1]. `evaluate(positions, points)` returns the values for the
/// points with the indices `points` at all new nodes of a rule, [positions, points, q]. A point is finished once
/// the extrapolated change of its integrals under further doublings is at most `tolerance`, or `rounding` times the
/// integral of the absolute value ([`what_is_left`]).
///
/// # Errors
/// If `evaluate` fails, or returns values that are not finite.
pub fn integrate(
    n: usize,
    q: usize,
    [tolerance, rounding]: [f64; 2],
    mut evaluate: impl FnMut(&[f64], &[usize]) -> Result<Vec<f64>>,
) -> Result<Integrals> {
    let mut result = Integrals {
        values: vec![f64::NAN; n * q],
        evaluations: 0,
        intervals: vec![FEWEST; n],
        settled: vec![true; n],
    };
    let mut points: Vec<usize> = (0..n).collect();
    let mut changes = vec![f64::INFINITY; n];
    // per node, the values at the remaining points
    let mut nodes: Vec<Vec<f64>> = Vec::new();
    let mut intervals = FEWEST;
    loop {
        // every second node belongs to the coarser rule
        let is_known = |index: usize| intervals > FEWEST && index.is_multiple_of(2);
        let new: Vec<f64> = (0..=intervals)
            .filter(|&index| !is_known(index))
            .map(|index| node(index, intervals))
            .collect();
        result.evaluations += (new.len() * points.len()) as u64;
        let found = evaluate(&new, &points)?;
        let mut found = found.chunks_exact(points.len() * q).map(<[f64]>::to_vec);
        let mut known = std::mem::take(&mut nodes).into_iter();
        let all = (0..=intervals).map(|index| match is_known(index) {
            true => known.next(),
            false => found.next(),
        });
        nodes = all
            .map(|values| values.expect("every node is known or new"))
            .collect();
        let weights = weights(intervals);
        let mut left = Vec::new();
        for (row, &point) in points.iter().enumerate() {
            result.intervals[point] = intervals;
            let (mut change, mut allowed) = (0.0f64, tolerance);
            for column in 0..q {
                let [integral, absolute] = summed(&weights, &nodes, row * q + column);
                allowed = allowed.max(rounding * absolute);
                if !integral.is_finite() {
                    return Err(Error::Numerical(format!(
                        "the divergence along the trajectory of point {point} is not finite"
                    )));
                }
                let before = std::mem::replace(&mut result.values[point * q + column], integral);
                change = change.max(match before.is_nan() {
                    true => f64::INFINITY,
                    false => (integral - before).abs(),
                });
            }
            let error = what_is_left(change, changes[point], intervals);
            changes[point] = change;
            if error > allowed && intervals < MOST {
                left.push(row);
            } else if error > allowed {
                result.settled[point] = false;
            }
        }
        if left.is_empty() {
            return Ok(result);
        }
        for values in &mut nodes {
            let rows = left.iter().flat_map(|row| &values[row * q..(row + 1) * q]);
            *values = rows.copied().collect();
        }
        points = left.into_iter().map(|row| points[row]).collect();
        intervals *= 2;
    }
}

/// The weighted sum of the values at `at` of all nodes, and that of their absolute values.
fn summed(weights: &[f64], nodes: &[Vec<f64>], at: usize) -> [f64; 2] {
    let terms = || weights.iter().zip(nodes).map(|(w, v)| w * v[at]);
    [terms().sum(), terms().map(f64::abs).sum()]
}

/// Estimated error of the rule with `intervals`, after a `change` that followed the change `before`: the remaining
/// sum of a geometric series with the ratio of the two. The assumed convergence is at most tenfold per doubling,
/// since a small change may be chance. Coarse rules may miss the same feature, so for them the error is at least
/// the change itself.
fn what_is_left(change: f64, before: f64, intervals: usize) -> f64 {
    if intervals < CONVERGING {
        return change.max(0.05 * before);
    }
    let change = change.max(0.1 * before);
    let ratio = (change / before).min(0.5);
    change * ratio / (1.0 - ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_the_rest_of_a_geometric_series() {
        let left = |change, before| what_is_left(change, before, CONVERGING);
        let ratio = 0.25f64;
        let rest: f64 = (2..60).map(|k| ratio.powi(k)).sum();
        assert!((left(ratio, 1.0) - rest).abs() < 1e-12);
        // a small change by chance, no convergence, and coarse rules
        assert!((left(0.0, 1.0) - 0.1 / 9.0).abs() < 1e-12);
        assert_eq!([left(0.7, 1.0), left(2.0, 1.0)], [0.7, 2.0]);
        assert_eq!(what_is_left(0.1, 1.0, CONVERGING / 2), 0.1);
        assert_eq!(what_is_left(0.1, f64::INFINITY, FEWEST), f64::INFINITY);
    }

    #[test]
    fn polynomials_up_to_the_number_of_intervals_are_exact() {
        for intervals in [2usize, 4, 16, 64] {
            let weights = weights(intervals);
            for degree in 0..=intervals as i32 {
                let sum: f64 = (weights.iter().enumerate())
                    .map(|(j, w)| w * node(j, intervals).powi(degree))
                    .sum();
                let exact = 1.0 / f64::from(degree + 1);
                assert!((sum - exact).abs() < 1e-14, "{intervals} {degree}: {sum}");
            }
        }
    }

    #[test]
    fn each_point_gets_the_nodes_it_needs() {
        // cos(a t): sin(a) / a
        let rates = [1.0, 40.0, 0.0, 200.0];
        let found = integrate(4, 2, [1e-9, 0.0], |times, points| {
            let both = |&p: &usize, t: f64| [(rates[p] * t).cos(), 2.0 * (rates[p] * t).cos()];
            let at = |&t: &f64| points.iter().flat_map(move |p| both(p, t));
            Ok(times.iter().flat_map(at).collect())
        })
        .unwrap();
        for (point, a) in rates.into_iter().enumerate() {
            let exact = if a == 0.0 { 1.0 } else { a.sin() / a };
            let [one, two] = [found.values[2 * point], found.values[2 * point + 1]];
            assert!((one - exact).abs() < 1e-10 && (two - 2.0 * exact).abs() < 1e-10);
        }
        assert_eq!(found.settled, [true; 4]);
        // the fast one needs at least 256 intervals, the others do not
        let finest = found.finest();
        assert!(finest >= 256);
        assert_eq!(found.by_intervals()[&finest], [3]);
        let rules = found.by_intervals();
        assert_eq!(rules.first_key_value().unwrap().1, &[0, 2]);
        assert!(found.evaluations < 2 * (finest as u64 + 1));
    }

    #[test]
    fn a_point_that_the_finest_rule_leaves_undone_says_so() {
        let rates = [1.0, 20_000.0];
        let found = integrate(2, 1, [1e-6, 0.0], |times, points| {
            let at = |&t: &f64| points.iter().map(move |&p| (rates[p] * t).cos());
            Ok(times.iter().flat_map(at).collect())
        })
        .unwrap();
        assert_eq!(found.settled, [true, false]);
        assert_eq!(found.finest(), MOST);
    }

    #[test]
    fn no_node_is_evaluated_twice() {
        let mut seen = Vec::new();
        integrate(1, 1, [1e-12, 0.0], |times, _| {
            for t in times {
                assert!(!seen.contains(&t.to_bits()));
                seen.push(t.to_bits());
            }
            Ok(times.iter().map(|t| (50.0 * t).sin()).collect())
        })
        .unwrap();
    }

    #[test]
    fn what_is_not_finite_is_an_error() {
        let found = integrate(2, 1, [1e-3, 0.0], |times, _| {
            Ok(times.iter().flat_map(|t| [*t, 1.0 / (t - t)]).collect())
        });
        assert!(found.is_err());
    }
}
