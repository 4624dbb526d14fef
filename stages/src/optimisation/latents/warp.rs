//! Values as normal quantiles: what a surrogate fits does not depend on how they are spread.

use statrs::distribution::{ContinuousCDF, Normal};

/// A map from values to normal quantiles by rank, and back by interpolation (the Gaussian copula of Eriksson and
/// Poloczek, "Scalable Constrained Bayesian Optimization", 2021).
#[derive(Debug, Clone)]
pub(super) struct Warp {
    /// Quantile and value of each different value, ascending.
    knots: Vec<(f64, f64)>,
}

impl Warp {
    /// Of `values`, one at least; also the quantile of each. Equal values share the mean of their ranks.
    pub fn new(values: &[f64]) -> (Self, Vec<f64>) {
        let normal = Normal::standard();
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
        let (mut knots, mut quantiles) = (Vec::new(), vec![0.0; values.len()]);
        let mut start = 0;
        while start < order.len() {
            let value = values[order[start]];
            let same = order[start..].iter().take_while(|&&i| values[i] == value);
            let equal = same.count();
            let rank = start as f64 + equal as f64 / 2.0;
            let quantile = normal.inverse_cdf(rank / values.len() as f64);
            for &place in &order[start..start + equal] {
                quantiles[place] = quantile;
            }
            knots.push((quantile, value));
            start += equal;
        }
        (Self { knots }, quantiles)
    }

    /// The value at `quantile`, the nearest one beyond the ends.
    pub fn value(&self, quantile: f64) -> f64 {
        let above = self.knots.partition_point(|(knot, _)| *knot < quantile);
        let last = self.knots.len() - 1;
        let (left, low) = self.knots[above.saturating_sub(1)];
        let (right, high) = self.knots[above.min(last)];
        match right > left {
            true => low + (quantile - left) / (right - left) * (high - low),
            false => high,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_ranks_and_go_back_to_values() {
        let values = [3.0, -1.0, 3.0, 100.0];
        let (warp, quantiles) = Warp::new(&values);
        // mean ranks 2, 0.5, 2, 3.5 of 4
        let of = |rank: f64| Normal::standard().inverse_cdf(rank / 4.0);
        assert_eq!(quantiles, [2.0, 0.5, 2.0, 3.5].map(of));
        for (value, quantile) in values.iter().zip(&quantiles) {
            assert_eq!(warp.value(*quantile), *value);
        }
        assert_eq!(warp.value(9.0), 100.0);
        assert_eq!(warp.value(-9.0), -1.0);
        let middle = (of(0.5) + of(2.0)) / 2.0;
        assert!((warp.value(middle) - 1.0).abs() < 1e-9);
        assert_eq!(Warp::new(&[5.0]).0.value(0.3), 5.0);
    }
}
