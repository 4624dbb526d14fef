//! Agreement of a surrogate with the NLL over a set of points, with intervals over points and draws.

use crate::figures::estimate_nll as names;
use crate::numerics::{Interval, Kept, Scale, intervals, root_mean_square};
use crate::random::Streams;

/// Agreement of a surrogate with the NLL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Pearson's linear correlation.
    pub pearson: Interval,
    /// Spearman's rank correlation; ties share their mean rank.
    pub spearman: Interval,
    /// Kendall's rank correlation tau-b: concordant minus discordant pairs.
    pub kendall: Interval,
    /// Least-squares slope of the NLL on the surrogate, in nats per unit of the surrogate.
    pub slope: Interval,
    /// Mean of the surrogate minus the NLL; in nats if the surrogate is.
    pub bias: Interval,
    /// Root mean square of the surrogate minus the NLL; in nats if the surrogate is.
    pub rmse: Interval,
}

impl Agreement {
    /// Every figure with its name.
    pub fn figures(&self) -> [(&'static str, Interval); 6] {
        [
            (names::PEARSON, self.pearson),
            (names::SPEARMAN, self.spearman),
            (names::KENDALL, self.kendall),
            (names::SLOPE, self.slope),
            (names::BIAS, self.bias),
            (names::RMSE, self.rmse),
        ]
    }
}

/// The agreement of a surrogate with `nll`, paired by point. The surrogate is the mean of independent
/// rules, `rules` [rules, n]; a single one if it has no random draws. Every `group` consecutive points
/// belong together. Figures are NaN if one side does not vary.
pub fn agreement(rules: &[Vec<f64>], nll: &[f64], group: usize, streams: Streams) -> Agreement {
    assert!(rules.iter().all(|rule| rule.len() == nll.len()));
    // the surrogate from all rules, and without each of them
    let surrogates: Vec<Vec<f64>> = (0..=rules.len())
        .map(|left| {
            let kept = || (1..).zip(rules).filter(|(number, _)| *number != left);
            let count = kept().count().max(1) as f64;
            (0..nll.len())
                .map(|point| kept().map(|(_, rule)| rule[point]).sum::<f64>() / count)
                .collect()
        })
        .collect();
    let figures = |kept: Kept| {
        let surrogate = &surrogates[kept.without.map_or(0, |rule| rule + 1)];
        let pick = |values: &[f64]| kept.points.iter().map(|&i| values[i]).collect::<Vec<f64>>();
        let (x, y) = (pick(surrogate), pick(nll));
        let n = x.len() as f64;
        let (correlation, slope) = pearson_and_slope(&x, &y);
        let (rank, _) = pearson_and_slope(&ranks(&x), &ranks(&y));
        let difference = || x.iter().zip(&y).map(|(x, y)| x - y);
        let bias = difference().sum::<f64>() / n;
        let rmse = (difference().map(|d| d * d).sum::<f64>() / n).sqrt();
        [correlation, rank, kendall(&x, &y), slope, bias, rmse]
    };
    // exchanging two neighbours changes Spearman's by 12 / (n^3 - n), Kendall's by 4 / (n^2 - n)
    let n = nll.len().max(2) as f64;
    let scales = [
        Scale::CORRELATION,
        Scale::Correlation {
            short: 6.0 / (n.powi(3) - n),
        },
        Scale::Correlation {
            short: 2.0 / (n.powi(2) - n),
        },
        Scale::Plain,
        Scale::Plain,
        Scale::Positive,
    ];
    let shape = (nll.len(), group, rules.len());
    let [pearson, spearman, kendall, slope, bias, mut rmse] =
        intervals(shape, streams, scales, figures);
    if rules.len() > 1 && !nll.is_empty() {
        let differences: Vec<Vec<f64>> = (rules.iter())
            .map(|rule| rule.iter().zip(nll).map(|(x, y)| x - y).collect())
            .collect();
        rmse = root_mean_square(&differences, group);
    }
    Agreement {
        pearson,
        spearman,
        kendall,
        slope,
        bias,
        rmse,
    }
}

/// The linear correlation of x and y, and the least-squares slope of y on x.
fn pearson_and_slope(x: &[f64], y: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let (mx, my) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        xx += (a - mx) * (a - mx);
        yy += (b - my) * (b - my);
        xy += (a - mx) * (b - my);
    }
    (xy / (xx * yy).sqrt(), xy / xx)
}

/// The rank of each value, ties sharing their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let value = values[order[start]];
        let tied = order[start..]
            .iter()
            .take_while(|&&i| values[i] == value)
            .count();
        for &i in &order[start..start + tied] {
            ranks[i] = start as f64 + (tied - 1) as f64 / 2.0;
        }
        start += tied.max(1); // NaN differs from everything
    }
    ranks
}

/// Kendall's tau-b in O(n log n) (Knight 1966): after sorting by x, discordant pairs are the exchanges of
/// a merge sort by y.
fn kendall(x: &[f64], y: &[f64]) -> f64 {
    let n = x.len();
    let mut order: Vec<usize> = (0..n).collect();
    // 0 and -0 compare equal, here and below
    let compare = |a: f64, b: f64| (a + 0.0).total_cmp(&(b + 0.0));
    order.sort_unstable_by(|&a, &b| compare(x[a], x[b]).then(compare(y[a], y[b])));
    let mut sorted: Vec<f64> = order.iter().map(|&i| y[i]).collect();
    let pairs = |count: usize| (count * count.saturating_sub(1) / 2) as f64;
    // number of tied pairs, where `same` compares neighbours
    let tied = |same: &dyn Fn(usize) -> bool| {
        let (mut total, mut run) = (0.0, 1);
        for i in 1..=n {
            if i < n && same(i) {
                run += 1;
            } else {
                total += pairs(run);
                run = 1;
            }
        }
        total
    };
    let equal_x = |i: usize| x[order[i]] == x[order[i - 1]];
    let tied_x = tied(&equal_x);
    let tied_both = tied(&|i| equal_x(i) && y[order[i]] == y[order[i - 1]]);
    let exchanges = merge_exchanges(&mut sorted);
    let tied_y = tied(&|i| sorted[i] == sorted[i - 1]); // now sorted by y
    let all = pairs(n);
    let concordant_less_discordant = all - tied_x - tied_y + tied_both - 2.0 * exchanges as f64;
    concordant_less_discordant / ((all - tied_x) * (all - tied_y)).sqrt()
}

/// Sorts `values` and counts the pairs that were in strictly descending order.
fn merge_exchanges(values: &mut [f64]) -> u64 {
    let n = values.len();
    if n < 2 {
        return 0;
    }
    let (left, right) = values.split_at_mut(n / 2);
    let mut count = merge_exchanges(left) + merge_exchanges(right);
    let mut merged = Vec::with_capacity(n);
    let (mut i, mut j) = (0, 0);
    while i < left.len() && j < right.len() {
        if right[j] < left[i] {
            count += (left.len() - i) as u64;
            merged.push(right[j]);
            j += 1;
        } else {
            merged.push(left[i]);
            i += 1;
        }
    }
    merged.extend_from_slice(&left[i..]);
    merged.extend_from_slice(&right[j..]);
    values.copy_from_slice(&merged);
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::standard_error;

    #[test]
    fn points_that_belong_together_do_not_narrow_an_interval() {
        let single: Vec<f64> = (0..100).map(|i| (i as f64 * 0.7).sin()).collect();
        let twice = |values: &[f64]| values.iter().flat_map(|&v| [v, v]).collect::<Vec<f64>>();
        let error = standard_error(&single, 1);
        assert!((standard_error(&twice(&single), 2) - error).abs() < 1e-12);
        let noise = Streams::new(1).normal("test", 0, 100);
        let y: Vec<f64> = single
            .iter()
            .zip(noise)
            .map(|(x, e)| x + f64::from(e))
            .collect();
        let width = |a: Agreement| a.pearson.high - a.pearson.low;
        let one = width(agreement(
            std::slice::from_ref(&single),
            &y,
            1,
            Streams::new(0),
        ));
        let two = width(agreement(&[twice(&single)], &twice(&y), 2, Streams::new(0)));
        assert!((two / one - 1.0).abs() < 1e-9, "{one} {two}");
    }

    #[test]
    fn a_monotone_surrogate_ranks_perfectly_but_is_not_linear() {
        let x: Vec<f64> = (0..200).map(|i| i as f64 / 20.0).collect();
        let y: Vec<f64> = x.iter().map(|x| x.exp()).collect();
        let a = agreement(std::slice::from_ref(&x), &y, 1, Streams::new(0));
        assert!((a.spearman.value - 1.0).abs() < 1e-12);
        assert!(a.pearson.value < 0.8);
    }

    #[test]
    fn a_perfect_rank_correlation_that_one_rule_breaks_has_an_interval_near_it() {
        let y: Vec<f64> = (0..16).map(f64::from).collect();
        let mut broken = y.clone();
        broken.swap(3, 4);
        let rules = [y.clone(), y.clone(), broken, y.clone()];
        let a = agreement(&rules, &y, 1, Streams::new(0));
        assert_eq!(a.spearman.value, 1.0);
        assert!(a.spearman.low > 0.95 && a.kendall.low > 0.9, "{a:?}");
    }

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0]);
    }

    #[test]
    fn an_affine_surrogate_gives_its_slope_and_a_noisy_one_an_interval_around_it() {
        let x: Vec<f64> = (0..500).map(|i| (i as f64 * 0.7).sin()).collect();
        let exact: Vec<f64> = x.iter().map(|x| 3.0 - 2.0 * x).collect();
        let a = agreement(std::slice::from_ref(&x), &exact, 1, Streams::new(0));
        assert!((a.slope.value + 2.0).abs() < 1e-12 && (a.pearson.value + 1.0).abs() < 1e-12);
        let noise = Streams::new(1).normal("test", 0, x.len());
        let noisy: Vec<f64> = exact.iter().zip(noise).map(|(y, e)| y + e as f64).collect();
        let a = agreement(std::slice::from_ref(&x), &noisy, 1, Streams::new(0));
        assert!(a.slope.low < -2.0 && -2.0 < a.slope.high);
        assert!(a.slope.high - a.slope.low < 0.6);
    }

    #[test]
    fn kendall_counts_pairs_with_ties() {
        let by_pairs = |x: &[f64], y: &[f64]| {
            let (mut order, mut free_x, mut free_y) = (0.0, 0.0, 0.0);
            for i in 0..x.len() {
                for j in 0..i {
                    let (a, b) = ((x[i] - x[j]).signum(), (y[i] - y[j]).signum());
                    let (a, b) = (
                        if x[i] == x[j] { 0.0 } else { a },
                        if y[i] == y[j] { 0.0 } else { b },
                    );
                    order += a * b;
                    free_x += a * a;
                    free_y += b * b;
                }
            }
            order / f64::sqrt(free_x * free_y)
        };
        let noise = Streams::new(4).normal("test", 0, 120);
        let x: Vec<f64> = noise[..60]
            .iter()
            .map(|v| f64::from((v * 2.0).round()))
            .collect();
        let y: Vec<f64> = (noise[60..].iter().zip(&x))
            .map(|(v, x)| (f64::from(*v) + 0.5 * x).round())
            .collect();
        let (found, expected) = (kendall(&x, &y), by_pairs(&x, &y));
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        assert_eq!(kendall(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), -1.0);
    }

    #[test]
    fn bias_and_rmse_are_those_of_the_difference() {
        let x: Vec<f64> = (0..50).map(f64::from).collect();
        let y: Vec<f64> = (0..50)
            .map(|i| f64::from(i) + if i % 2 == 0 { 1.0 } else { 3.0 })
            .collect();
        let a = agreement(std::slice::from_ref(&x), &y, 1, Streams::new(0));
        assert!((a.bias.value + 2.0).abs() < 1e-12);
        assert!((a.rmse.value - 5f64.sqrt()).abs() < 1e-12);
        assert!(a.bias.low < -2.0 && a.bias.high > -2.0);
    }
}
