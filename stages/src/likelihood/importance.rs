//! Importance-weighted likelihoods (Burda et al. 2016, arXiv 1509.00519).
//!
//! With `w_s = p(x, z_s) / q(z_s | x)` for S draws z_s ~ q(z | x), `-ln(mean of w_s)` is an upper bound of the NLL
//! of x in expectation: the negative ELBO for S = 1, decreasing in S, with the NLL as its limit.

/// The log-weights of a row, accumulated in constant memory.
#[derive(Debug, Clone, Copy)]
pub struct Weights {
    count: usize,
    /// The largest log-weight so far.
    most: f64,
    /// Sum of `exp(log-weight - most)`.
    sum: f64,
    /// Sum of its squares.
    squares: f64,
    /// Sum of the log-weights.
    logs: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            count: 0,
            most: f64::NEG_INFINITY,
            sum: 0.0,
            squares: 0.0,
            logs: 0.0,
        }
    }
}

impl Weights {
    /// Adds the log-weights `log p(x|z) + log p(z) - log q(z|x)` of further draws.
    pub fn add(&mut self, group: &[f64]) {
        let most = group.iter().copied().fold(self.most, f64::max);
        self.count += group.len();
        self.logs += group.iter().sum::<f64>();
        if most == f64::NEG_INFINITY {
            return;
        }
        let before = (self.most - most).exp();
        let sum: f64 = group.iter().map(|w| (w - most).exp()).sum();
        let squares: f64 = group.iter().map(|w| (2.0 * (w - most)).exp()).sum();
        self.sum = self.sum * before + sum;
        self.squares = self.squares * before * before + squares;
        self.most = most;
    }

    /// The importance-weighted NLL in nats.
    pub fn nll(&self) -> f64 {
        let samples = self.count;
        (samples as f64).ln() - self.most - self.sum.ln()
    }

    /// The negative ELBO in nats from the same draws.
    pub fn elbo(&self) -> f64 {
        -self.logs / self.count as f64
    }

    /// The effective sample size `(sum of w)^2 / sum of w^2`, between 1 and S.
    pub fn effective(&self) -> f64 {
        self.sum * self.sum / self.squares
    }

    /// The standard error of [`Self::nll`] over draws, by the delta method: the relative standard error of the mean
    /// weight, `sqrt((S / effective - 1) / (S - 1))`. Infinite for a single draw. It relies on the weights'
    /// empirical variance and is therefore too small if the effective sample size is small.
    pub fn error(&self) -> f64 {
        let samples = self.count as f64;
        match self.count {
            0 | 1 => f64::INFINITY,
            // equal weights may round below zero
            _ => ((samples / self.effective() - 1.0) / (samples - 1.0))
                .max(0.0)
                .sqrt(),
        }
    }
}

/// The mean [`Weights::nll`] over groups of `samples` log-weights of a row. For the same log-weights, larger groups
/// always give lower values: to compare numbers of samples, each needs its own log-weights.
pub fn importance_weighted_nll(log_weights: &[f64], samples: usize) -> f64 {
    let groups = log_weights.chunks_exact(samples);
    let count = groups.len() as f64;
    let of_group = |group: &[f64]| {
        let mut weights = Weights::default();
        weights.add(group);
        weights.nll()
    };
    groups.map(of_group).sum::<f64>() / count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::{mean, standard_error};
    use crate::random::Streams;
    use std::f64::consts::TAU;

    /// `log N(x; mean, variance)`.
    fn normal(x: f64, mean: f64, variance: f64) -> f64 {
        -0.5 * ((x - mean).powi(2) / variance + (TAU * variance).ln())
    }

    /// The evidence `log p(x)` of the model of [`log_weights`].
    const EVIDENCE: f64 = -1.653773;

    /// Of z ~ N(0, 1), x | z ~ N(2 z + 0.5, 0.3^2) and x = 1: `count` log-weights of draws of q = N(0.2, 0.09), which is not
    /// the posterior N(0.244499, 0.022005).
    fn log_weights(seed: u64, count: usize) -> Vec<f64> {
        let draws = Streams::new(seed).normal("z", 0, count).into_iter();
        let of_draw = |e: f32| {
            let z = 0.2 + 0.3 * f64::from(e);
            normal(1.0, 2.0 * z + 0.5, 0.09) + normal(z, 0.0, 1.0) - normal(z, 0.2, 0.09)
        };
        draws.map(of_draw).collect()
    }

    fn of(log_weights: &[f64]) -> Weights {
        let mut weights = Weights::default();
        weights.add(log_weights);
        weights
    }

    /// Values of the literature's identity, computed by quadrature elsewhere, at each S from independent draws.
    /// Fails if ln S is missing, logarithms are averaged, or draws are shared between values of S.
    #[test]
    fn more_samples_lower_the_nll_to_the_evidence_by_the_known_values() {
        let expected = [
            (1, -2.539494),
            (2, -1.91),
            (10, -1.684),
            (100, -1.658),
            (1000, -1.654),
        ];
        let mut before = f64::INFINITY;
        for (samples, expected) in expected {
            let sets = (400_000 / samples).max(2000);
            let weights = log_weights(samples as u64, samples * sets);
            let found: Vec<f64> = (weights.chunks(samples))
                .map(|group| of(group).nll())
                .collect();
            let (nll, error) = (mean(&found), standard_error(&found, 1));
            // the published values have three digits
            let within = 3.0 * error + 2e-3 + if samples == 2 { 3e-3 } else { 0.0 };
            assert!(
                (nll + expected).abs() < within,
                "S = {samples}: {nll} +- {error}"
            );
            assert!(nll < before, "S = {samples}: {nll} not below {before}");
            assert!(
                nll > -EVIDENCE - 3.0 * error,
                "S = {samples}: below the NLL"
            );
            before = nll;
        }
    }

    /// Fails if a chunk forgets earlier ones, or sums with different largest weights are added directly.
    #[test]
    fn chunks_change_nothing() {
        let mut weights = log_weights(3, 5000);
        weights[4000] = 700.0; // the square of its exponential overflows
        let whole = of(&weights);
        for chunk in [1, 7, 1024] {
            let mut by_chunks = Weights::default();
            weights.chunks(chunk).for_each(|group| by_chunks.add(group));
            for figure in [
                Weights::nll,
                Weights::elbo,
                Weights::effective,
                Weights::error,
            ] {
                let (a, b) = (figure(&whole), figure(&by_chunks));
                assert!((a - b).abs() <= 1e-10 * b.abs(), "{chunk}: {a} {b}");
            }
        }
    }

    /// The spread of 2,000 estimates matches their standard errors.
    #[test]
    fn the_delta_method_knows_the_spread_of_estimates() {
        let weights = log_weights(5, 2000 * 500);
        let sets: Vec<Weights> = weights.chunks(500).map(of).collect();
        let nll: Vec<f64> = sets.iter().map(Weights::nll).collect();
        let spread = standard_error(&nll, 1) * (nll.len() as f64).sqrt();
        let told: Vec<f64> = sets.iter().map(Weights::error).collect();
        let ratio = mean(&told) / spread;
        assert!((0.93..1.07).contains(&ratio), "{ratio}");
    }

    #[test]
    fn the_effective_sample_size_is_one_to_all() {
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found}");
        near(of(&[-3.0; 8]).effective(), 8.0);
        near(of(&[-3.0; 8]).error(), 0.0);
        near(of(&[0.0, -800.0, -900.0]).effective(), 1.0);
        // weights 1 and 3: 16 / 10; mean weight 2, with error 1
        let two = of(&[0.0, 3f64.ln()]);
        near(two.effective(), 1.6);
        near(two.error(), 0.5);
        assert_eq!(of(&[1.0]).error(), f64::INFINITY);
    }

    #[test]
    fn a_row_that_no_draw_explains_has_no_finite_nll() {
        let none = of(&[f64::NEG_INFINITY; 3]);
        assert_eq!(none.nll(), f64::INFINITY);
        let mut weights = none;
        weights.add(&[0.0]);
        assert!((weights.nll() - 4f64.ln()).abs() < 1e-12);
    }
}
