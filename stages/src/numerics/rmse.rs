//! The root mean square error of a surrogate over points and draws, with its interval.
//!
//! A surrogate is the mean of M independent rules. Its mean square error over points and draws is `B + s`:
//! B is the mean squared bias with infinitely many draws, s the variance due to the draws. All points
//! share the draws, so the observed mean square q has few degrees of freedom even for thousands of points:
//! with an exact velocity (B = 0) q / s is approximately an F variable whose degrees of freedom are the
//! effective rank of the rules' covariance over points. Leaving out rules cannot reveal that, since q is a
//! square whose estimated variance is smallest where it is least reliable. But the spread of the rules
//! estimates s (M - 1) times better than q does. So s has a chi^2 interval, B consists of the values that
//! q does not reject (as in Wilson's interval, with the variance under the tested value), and the interval
//! of the sum is their sum.

use super::jackknife::Interval;
use super::statistics::{fisher, mean, student, variance_of_mean};
use statrs::distribution::{ChiSquared, ContinuousCDF};

/// The root mean square, over points and draws, of the mean over rules of `differences` [rules, n]: each
/// rule's surrogate minus the NLL, for two or more rules. Every `group` consecutive points belong
/// together. The value is at least the part implied by the spread of the rules. NaN for fewer than two
/// groups.
pub fn root_mean_square(differences: &[Vec<f64>], group: usize) -> Interval {
    let (rules, n) = (differences.len(), differences[0].len());
    let groups = (n / group) as f64;
    let freedom = rules as f64 - 1.0;
    let means: Vec<f64> = (0..n)
        .map(|p| differences.iter().map(|rule| rule[p]).sum::<f64>() / rules as f64)
        .collect();
    let seen = mean(&means.iter().map(|m| m * m).collect::<Vec<f64>>());
    let deviations: Vec<Vec<f64>> = (differences.iter())
        .map(|rule| rule.iter().zip(&means).map(|(x, m)| x - m).collect())
        .collect();
    let (trace, rank) = trace_and_rank(&deviations, groups);
    let spread = trace / rules as f64; // s
    let value = seen.max(spread).sqrt();
    if groups < 2.0 {
        let (low, high) = (f64::NAN, f64::NAN);
        return Interval { value, low, high };
    }
    let of_groups = |of_point: &dyn Fn(usize) -> f64| -> Vec<f64> {
        (0..n / group)
            .map(|g| (g * group..(g + 1) * group).map(of_point).sum::<f64>() / group as f64)
            .collect()
    };
    let variances = of_groups(&|p| deviations.iter().map(|d| d[p] * d[p]).sum::<f64>());
    let (low, high) = spread_interval(spread, freedom, rank, &variances);

    // B: the values consistent with q - s
    let within = freedom * rank;
    let above = (fisher(rank, within, 0.975) - 1.0) * spread;
    let below = (1.0 - fisher(rank, within, 0.025)) * spread;
    let t = student(within).powi(2);
    let squares = of_groups(&|p| means[p] * means[p]);
    let points = student(groups - 1.0).powi(2) * variance_of_mean(&squares);
    // growth of the variance of q with B: the jackknife variance minus that under the null hypothesis
    let null = 4.0 * spread * spread / rank;
    let influences = deviations.iter().map(|d| 4.0 * dot(d, &means).powi(2));
    let influence = influences.sum::<f64>() / freedom / rules as f64;
    let excess = seen - spread;
    let slope = if spread > 0.0 {
        (influence.max(null) / (4.0 * (excess.max(0.0) + spread))).min(spread)
    } else {
        0.0
    };
    // (B - excess)^2 = null^2 + points + 4 slope t B
    let root = |null: f64, sign: f64| {
        let fixed = null * null + points;
        if excess.abs() <= fixed.sqrt() && sign < 0.0 || excess < -fixed.sqrt() {
            return 0.0;
        }
        let middle = excess + 2.0 * slope * t;
        let inside = (middle * middle - excess * excess + fixed).max(0.0);
        (middle + sign * inside.sqrt()).max(0.0)
    };
    Interval {
        value,
        low: (root(above, -1.0) + low).sqrt(),
        high: (root(below, 1.0) + high).sqrt(),
    }
}

/// The mean product of two rows of numbers of points.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / a.len() as f64
}

/// The trace of a rule's covariance over points, from the rules' `deviations` [rules, n], and its effective rank, at
/// most `groups`.
fn trace_and_rank(deviations: &[Vec<f64>], groups: f64) -> (f64, f64) {
    let freedom = deviations.len() as f64 - 1.0;
    // of the covariance and of its square, both unbiased (Wishart moments)
    let mut trace = 0.0;
    let mut square = 0.0;
    for a in deviations {
        trace += dot(a, a) / freedom;
        square += (deviations.iter())
            .map(|b| (dot(a, b) / freedom).powi(2))
            .sum::<f64>();
    }
    let square = freedom * freedom * (square - trace * trace / freedom)
        / ((freedom + 2.0) * (freedom - 1.0).max(1.0));
    let rank = if square > 0.0 {
        (trace * trace / square).clamp(1.0, groups.max(1.0))
    } else {
        groups.max(1.0)
    };
    (trace, rank)
}

/// The chi^2 interval of s, with a relative variance that includes points: `variances` are of groups.
fn spread_interval(spread: f64, freedom: f64, rank: f64, variances: &[f64]) -> (f64, f64) {
    if spread > 0.0 {
        let over_points = variance_of_mean(variances) / mean(variances).powi(2);
        let freedom = 2.0 / (2.0 / (freedom * rank) + over_points);
        let chi = ChiSquared::new(freedom).expect("positive degrees of freedom");
        let at = |p| spread * freedom / chi.inverse_cdf(p);
        (at(0.975), at(0.025))
    } else {
        (0.0, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    /// Coverage of the interval: rules with a `shared` error over all points and an `own` error at each,
    /// around a constant `bias` and an `uneven` random bias per point.
    fn held(shared: f64, own: f64, bias: f64, uneven: f64) -> f64 {
        let (rules, n, seeds) = (8, 200, 400);
        let truth =
            ((shared * shared + own * own) / rules as f64 + bias * bias + uneven * uneven).sqrt();
        let mut held = 0;
        for seed in 0..seeds {
            let streams = Streams::new(seed);
            let common = streams.normal("rules", 0, rules);
            let cells = streams.normal("cells", 0, rules * n);
            let points = streams.normal("points", 0, n);
            let table: Vec<Vec<f64>> = (0..rules)
                .map(|r| {
                    (0..n)
                        .map(|p| {
                            shared * f64::from(common[r])
                                + own * f64::from(cells[n * r + p])
                                + bias
                                + uneven * f64::from(points[p])
                        })
                        .collect()
                })
                .collect();
            let found = root_mean_square(&table, 1);
            assert!(found.low <= found.value && found.value <= found.high);
            held += usize::from(found.low <= truth && truth <= found.high);
        }
        held as f64 / f64::from(seeds as u32)
    }

    #[test]
    fn the_interval_holds_the_error_over_points_and_draws() {
        for (shared, own, bias, uneven) in [
            (1.0, 0.3, 0.0, 0.0),
            (1.0, 0.3, 0.5, 0.0),
            (1.0, 0.3, 2.0, 0.0),
            (1.0, 0.3, 0.0, 2.0),
            (0.3, 1.0, 0.0, 0.0),
        ] {
            let share = held(shared, own, bias, uneven);
            assert!(
                (0.91..=1.0).contains(&share),
                "{shared} {own} {bias} {uneven}: {share}"
            );
        }
    }
}
