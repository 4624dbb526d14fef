//! Maximum a posteriori settings of a Gaussian process: the marginal likelihood times a prior over settings.

use super::covariance::{JITTER, add_to_diagonal, factor, require_finite};
use super::kernel::{Family, Kernel};
use super::points::{Points, squared_distances};
use crate::error::Result;
use latent_align_kernels::{inner_products, weighted_correlations};
use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

/// The settings of a Gaussian process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The covariance function.
    pub kernel: Kernel,
    /// The mean of a function value.
    pub mean: f64,
    /// The variance of the noise.
    pub noise: f64,
}

impl Fit {
    /// The prior's mode for standardised values at points of `tokens` tokens of `width` numbers of unit variance:
    /// all tokens have the same lengthscale, and two random points are `sqrt(2)` lengthscales apart, as in few
    /// dimensions (Hvarfner et al., "Vanilla Bayesian Optimization Performs Great in High Dimensions", 2024).
    pub fn expected(family: Family, tokens: usize, width: usize) -> Self {
        Self {
            kernel: Kernel {
                family,
                lengths: vec![((tokens * width) as f64).sqrt(); tokens],
                variance: 1.0,
            },
            mean: 0.0,
            noise: 1e-2,
        }
    }

    /// The logarithms of the lengthscales, the variance and the noise.
    fn logarithms(&self) -> Vec<f64> {
        let lengths = self.kernel.lengths.iter().copied();
        lengths
            .chain([self.kernel.variance, self.noise])
            .map(f64::ln)
            .collect()
    }

    /// The settings with these logarithms.
    fn of_logarithms(&self, logarithms: &[f64]) -> Self {
        let tokens = self.kernel.lengths.len();
        Self {
            kernel: Kernel {
                family: self.kernel.family,
                lengths: logarithms[..tokens].iter().map(|l| l.exp()).collect(),
                variance: logarithms[tokens].exp(),
            },
            mean: self.mean,
            noise: logarithms[tokens + 1].exp(),
        }
    }
}

/// The prior's standard deviations of the logarithms of a lengthscale, the variance and the noise.
const SPREAD: [f64; 3] = [1.0, 1.0, 1.5];

/// The most probable settings for `values` at `points`, by `steps` steps of Adam from `start`. The mean is fixed.
///
/// # Errors
/// A numerical error if covariances are not positive definite, as for values that are not finite.
pub fn fit(start: &Fit, points: &Points, values: &[f64], steps: usize) -> Result<Fit> {
    let problem = Problem::new(start, points, values);
    let mut at = start.logarithms();
    let (mut best, mut lowest) = (at.clone(), f64::INFINITY);
    let (mut first, mut second) = (vec![0.0; at.len()], vec![0.0; at.len()]);
    for step in 1..=steps {
        let (loss, slopes) = problem.loss(&at)?;
        if loss < lowest {
            (best, lowest) = (at.clone(), loss);
        }
        for i in 0..at.len() {
            first[i] = 0.9 * first[i] + 0.1 * slopes[i];
            second[i] = 0.99 * second[i] + 0.01 * slopes[i] * slopes[i];
            let mean = first[i] / (1.0 - 0.9f64.powi(step as i32));
            let square = second[i] / (1.0 - 0.99f64.powi(step as i32));
            at[i] -= 0.1 * mean / (square.sqrt() + 1e-8);
        }
    }
    Ok(start.of_logarithms(&best))
}

/// The fitting problem.
struct Problem<'a> {
    start: &'a Fit,
    /// The mode of the prior, as logarithms.
    expected: Vec<f64>,
    /// Squared distances of each token [n (n + 1) / 2, T]: the columns of the lower triangle, one after the other.
    squares: DMatrix<f64>,
    centred: DVector<f64>,
}

impl<'a> Problem<'a> {
    fn new(start: &'a Fit, points: &Points, values: &[f64]) -> Self {
        let family = start.kernel.family;
        let expected = Fit::expected(family, points.tokens(), points.width());
        let squares = (0..points.tokens()).flat_map(|token| {
            let token = points.token(token);
            lower_triangle(&squared_distances(&token, &token)).collect::<Vec<_>>()
        });
        let n = values.len();
        Self {
            start,
            expected: expected.logarithms(),
            squares: DMatrix::from_iterator(n * (n + 1) / 2, points.tokens(), squares),
            centred: DVector::from_iterator(n, values.iter().map(|v| v - start.mean)),
        }
    }

    /// The negative log-probability in nats, without constants, and its gradient by the logarithms.
    fn loss(&self, logarithms: &[f64]) -> Result<(f64, Vec<f64>)> {
        let settings = self.start.of_logarithms(logarithms);
        let (n, tokens) = (self.centred.len(), self.squares.ncols());
        let Kernel {
            family,
            lengths,
            variance,
        } = &settings.kernel;
        let inverse_squares = lengths.iter().map(|length| 1.0 / (length * length));
        let inverse_squares: Vec<f64> = inverse_squares.collect();
        let mut correlations = vec![0.0; self.squares.nrows()];
        let mut by_square = correlations.clone();
        weighted_correlations(
            family.correlation(),
            self.squares.as_slice(),
            &inverse_squares,
            &mut correlations,
            &mut by_square,
        );
        let mut covariance = DMatrix::zeros(n, n);
        for (j, mut column) in covariance.column_iter_mut().enumerate() {
            let first = place(n, j);
            let lower = &correlations[first..first + n - j];
            for (entry, correlation) in column.iter_mut().skip(j).zip(lower) {
                *entry = variance * correlation;
            }
        }
        let jitter = JITTER * variance;
        add_to_diagonal(&mut covariance, settings.noise + jitter);
        let factor = factor(covariance)?;
        let solved = factor.solve_vector(&self.centred);
        require_finite(&solved)?;
        let mut loss = 0.5 * self.centred.dot(&solved) + 0.5 * factor.ln_determinant();
        // d loss / d theta = tr((K^-1 - a a^T) dK / d theta) / 2, a sum over the lower triangle
        let inverse = factor.inverse_lower();
        let mut weights = correlations.clone(); // of dK
        let mut trace = 0.0;
        for (j, column) in inverse.column_iter().enumerate() {
            let first = place(n, j);
            let weights = &mut weights[first..first + n - j];
            let entries = column.iter().skip(j).zip(solved.iter().skip(j));
            for (weight, (entry, a)) in weights.iter_mut().zip(entries) {
                *weight = entry - a * solved[j];
            }
            trace += weights[0];
            weights[0] *= 0.5; // all others stand for two
        }
        let by_variance = 2.0 * variance * inner_products(&correlations, &weights)[0];
        for (weight, slope) in weights.iter_mut().zip(&by_square) {
            *weight *= -2.0 * variance * slope;
        }
        let by_length = inner_products(self.squares.as_slice(), &weights);
        let by_length = by_length.iter().zip(&inverse_squares);
        let mut slopes: Vec<f64> = by_length.map(|(slope, square)| slope * square).collect();
        slopes.push(0.5 * (by_variance + jitter * trace));
        slopes.push(0.5 * settings.noise * trace);
        for (i, slope) in slopes.iter_mut().enumerate() {
            let spread = SPREAD[i.saturating_sub(tokens - 1).min(2)];
            let off = (logarithms[i] - self.expected[i]) / spread;
            loss += 0.5 * off * off;
            *slope += off / spread;
        }
        Ok((loss, slopes))
    }
}

/// The lower triangle of `matrix`, column after column.
fn lower_triangle(matrix: &DMatrix<f64>) -> impl Iterator<Item = f64> {
    let columns = matrix.column_iter().enumerate();
    columns.flat_map(|(j, column)| column.into_iter().skip(j).copied())
}

/// Where column `j` of a lower triangle of `n` rows begins.
fn place(n: usize, j: usize) -> usize {
    j * n - j * j.saturating_sub(1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Streams, normal};

    #[test]
    fn slopes_are_those_of_central_differences() {
        let rows = normal(&mut Streams::new(1).at("points", 0), 15 * 6);
        let values: Vec<f64> = rows.chunks(6).map(|row| f64::from(row[0]).sin()).collect();
        for family in [Family::Rbf, Family::Matern] {
            let start = Fit::expected(family, 2, 3);
            let problem = Problem::new(&start, &Points::new(&rows, 2, 3), &values);
            let at = [0.1, 0.7, -0.3, -2.0];
            let (_, slopes) = problem.loss(&at).unwrap();
            for i in 0..4 {
                let moved = |by: f64| {
                    let mut at = at;
                    at[i] += by;
                    problem.loss(&at).unwrap().0
                };
                let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                let off = (slopes[i] - difference).abs();
                assert!(
                    off < 1e-6 * (1.0 + difference.abs()),
                    "{slopes:?} {difference}"
                );
            }
        }
    }
}
