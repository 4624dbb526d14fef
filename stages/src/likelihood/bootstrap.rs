//! Figures with bootstrap intervals.

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

/// `figures` of the points 0 to `count`, each with its interval over `resamples` bootstrap samples.
/// Points come in groups of `group` that belong together, such as the tokens of one image, and are
/// resampled together.
pub fn bootstrap<const K: usize>(
    count: usize,
    group: usize,
    resamples: usize,
    streams: Streams,
    figures: impl Fn(&[usize]) -> [f64; K] + Sync,
) -> [Interval; K] {
    let groups = count / group;
    if groups == 0 {
        let nothing = Interval {
            value: f64::NAN,
            low: f64::NAN,
            high: f64::NAN,
        };
        return [nothing; K];
    }
    let all: Vec<usize> = (0..count).collect();
    let value = figures(&all);
    let resampled: Vec<[f64; K]> = (0..resamples as u64)
        .into_par_iter()
        .map(|resample| {
            let mut rng = streams.at("bootstrap", resample);
            let points: Vec<usize> = (0..groups)
                .map(|_| rng.random_range(0..groups))
                .flat_map(|g| g * group..(g + 1) * group)
                .collect();
            figures(&points)
        })
        .collect();
    std::array::from_fn(|figure| {
        let mut values: Vec<f64> = resampled.iter().map(|r| r[figure]).collect();
        values.retain(|v| v.is_finite());
        values.sort_by(f64::total_cmp);
        Interval {
            value: value[figure],
            low: percentile(&values, 0.025),
            high: percentile(&values, 0.975),
        }
    })
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
