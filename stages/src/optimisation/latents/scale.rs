//! The scale of values for the surrogate: linear above the median, logarithmic below it.
//!
//! ```text
//! t = (y - median) / s,  s the root mean square of y - median over the better half
//! t where t >= 0,  -ln(1 - t) below
//! ```
//!
//! Differences between the best values matter for the search and are kept; differences between bad values matter
//! little, and a few very bad ones would otherwise dominate the scale (one side of the bilog transform of Eriksson
//! and Poloczek, "Scalable Constrained Bayesian Optimization", 2021).

/// The transform.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    median: f64,
    spread: f64,
}

impl Scale {
    /// Fits `values`, at least one, finite and to be maximised.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let better = &sorted[sorted.len() / 2..];
        let median = better[0];
        let squares = better.iter().map(|y| (y - median).powi(2)).sum::<f64>();
        let spread = (squares / better.len() as f64).sqrt();
        Self {
            median,
            spread: if spread > 0.0 { spread } else { 1.0 },
        }
    }

    /// A value on the scale.
    pub fn scaled(&self, value: f64) -> f64 {
        let t = (value - self.median) / self.spread;
        if t >= 0.0 { t } else { -(-t).ln_1p() }
    }

    /// The inverse.
    pub fn value(&self, scaled: f64) -> f64 {
        let t = if scaled >= 0.0 {
            scaled
        } else {
            -(-scaled).exp_m1()
        };
        self.median + t * self.spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if a bad value compresses the good ones, or the inverse is wrong.
    #[test]
    fn good_values_keep_their_distances_and_bad_ones_come_nearer() {
        let values = [1.0, 3.0, -1e6, 2.0, 5.0];
        let scale = Scale::of(&values);
        // the better half: 2, 3, 5
        let spread = (10.0f64 / 3.0).sqrt();
        for (value, expected) in [(2.0, 0.0), (3.0, 1.0 / spread), (8.0, 6.0 / spread)] {
            assert!((scale.scaled(value) - expected).abs() < 1e-12);
        }
        assert!((scale.scaled(1.0) + (1.0 + 1.0 / spread).ln()).abs() < 1e-12);
        assert!(scale.scaled(-1e6) > -14.0);
        for value in values {
            let back = scale.value(scale.scaled(value));
            assert!((back - value).abs() < 1e-9 * value.abs().max(1.0), "{back}");
        }
        // equal values have no spread
        assert_eq!(Scale::of(&[4.0, 4.0]).scaled(5.0), 1.0);
    }
}
