//! How well a surrogate follows the NLL over a set of points: correlation and slope, with bootstrap
//! intervals.

use crate::training::Streams;
use rand::RngExt;
use rayon::prelude::*;

/// A figure with its 95 % bootstrap interval (percentiles of resampled points).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Over all points.
    pub value: f64,
    /// 2.5th percentile.
    pub low: f64,
    /// 97.5th percentile.
    pub high: f64,
}

/// How a surrogate follows the NLL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Pearson's linear correlation.
    pub pearson: Interval,
    /// Spearman's rank correlation; ties share their mean rank.
    pub spearman: Interval,
    /// Least-squares slope of the NLL on the surrogate, in nats per unit of the surrogate.
    pub slope: Interval,
}

/// The agreement of `surrogate` with `nll`, paired by point; `resamples` bootstrap samples. Points come
/// in groups of `group` that belong together, such as the tokens of one image, and are resampled
/// together. Figures are NaN where one side does not vary.
pub fn agreement(
    surrogate: &[f64],
    nll: &[f64],
    group: usize,
    resamples: usize,
    streams: Streams,
) -> Agreement {
    assert_eq!(surrogate.len(), nll.len());
    let groups = nll.len() / group;
    let figures = |x: &[f64], y: &[f64]| {
        let (correlation, slope) = pearson_and_slope(x, y);
        let (rank, _) = pearson_and_slope(&ranks(x), &ranks(y));
        [correlation, rank, slope]
    };
    let value = figures(surrogate, nll);
    let resampled: Vec<[f64; 3]> = (0..resamples as u64)
        .into_par_iter()
        .map(|resample| {
            let mut rng = streams.at("bootstrap", resample);
            let (x, y): (Vec<f64>, Vec<f64>) = (0..groups)
                .map(|_| rng.random_range(0..groups))
                .flat_map(|g| g * group..(g + 1) * group)
                .map(|i| (surrogate[i], nll[i]))
                .unzip();
            figures(&x, &y)
        })
        .collect();
    let interval = |figure: usize| {
        let mut values: Vec<f64> = resampled.iter().map(|r| r[figure]).collect();
        values.retain(|v| v.is_finite());
        values.sort_by(f64::total_cmp);
        Interval {
            value: value[figure],
            low: percentile(&values, 0.025),
            high: percentile(&values, 0.975),
        }
    };
    Agreement {
        pearson: interval(0),
        spearman: interval(1),
        slope: interval(2),
    }
}

/// The mean of `values`.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard error of the mean of `values`, which come in groups of `group` that belong together.
pub fn standard_error(values: &[f64], group: usize) -> f64 {
    let means: Vec<f64> = values.chunks_exact(group).map(mean).collect();
    let (n, m) = (means.len() as f64, mean(&means));
    let squares: f64 = means.iter().map(|v| (v - m).powi(2)).sum();
    (squares / (n - 1.0) / n).sqrt()
}

/// The value at share `p` of sorted `values`, interpolated; NaN if there is none.
fn percentile(values: &[f64], p: f64) -> f64 {
    let Some(last) = values.len().checked_sub(1) else {
        return f64::NAN;
    };
    let position = p * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    values[below] + (position - below as f64) * (values[above] - values[below])
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
        start += tied;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let one = width(agreement(&single, &y, 1, 500, Streams::new(0)));
        let two = width(agreement(
            &twice(&single),
            &twice(&y),
            2,
            500,
            Streams::new(0),
        ));
        assert!((two / one - 1.0).abs() < 1e-9, "{one} {two}");
    }

    #[test]
    fn a_monotone_surrogate_ranks_perfectly_but_is_not_linear() {
        let x: Vec<f64> = (0..200).map(|i| i as f64 / 20.0).collect();
        let y: Vec<f64> = x.iter().map(|x| x.exp()).collect();
        let a = agreement(&x, &y, 1, 200, Streams::new(0));
        assert!((a.spearman.value - 1.0).abs() < 1e-12);
        assert!(a.pearson.value < 0.8);
    }

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0]);
    }

    #[test]
    fn an_affine_surrogate_gives_its_slope_and_a_noisy_one_an_interval_around_it() {
        let x: Vec<f64> = (0..500).map(|i| (i as f64 * 0.7).sin()).collect();
        let exact: Vec<f64> = x.iter().map(|x| 3.0 - 2.0 * x).collect();
        let a = agreement(&x, &exact, 1, 200, Streams::new(0));
        assert!((a.slope.value + 2.0).abs() < 1e-12 && (a.pearson.value + 1.0).abs() < 1e-12);
        let noise = Streams::new(1).normal("test", 0, x.len());
        let noisy: Vec<f64> = exact.iter().zip(noise).map(|(y, e)| y + e as f64).collect();
        let a = agreement(&x, &noisy, 1, 500, Streams::new(0));
        assert!(a.slope.low < -2.0 && -2.0 < a.slope.high);
        assert!(a.slope.high - a.slope.low < 0.6);
    }
}
