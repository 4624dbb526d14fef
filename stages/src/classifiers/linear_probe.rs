//! A linear probe: multinomial logistic regression, fitted to its unique minimum.
//!
//! `f(W, b) = mean_i -log softmax(W x_i + b)[y_i] + l2 / 2 |W|^2` is convex, and strictly convex in W, so
//! the accuracy at its minimum is a property of the points, not of an optimiser. L-BFGS (Liu and Nocedal
//! 1989) finds it on all points at once, in f64, without randomness.

use crate::error::{Error, Result};
use nalgebra::DMatrix;
use std::collections::VecDeque;

/// Convergence criterion: largest absolute entry of the gradient.
const TOLERANCE: f64 = 1e-5;
/// Maximum number of iterations, far above the usual.
const MOST_ITERATIONS: usize = 5000;
/// Number of steps that approximate the Hessian.
const MEMORY: usize = 20;
/// Required fraction of the linear decrease per step (Armijo).
const SUFFICIENT: f64 = 1e-4;

/// A linear classifier of points.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearProbe {
    /// W with b as its last column: [K, D + 1].
    weights: DMatrix<f64>,
}

impl LinearProbe {
    /// Fits `points` [n, width] to their classes `labels` in 0..classes. `check` is called once per
    /// iteration; an error from it stops the fit.
    ///
    /// # Errors
    /// A numerical error if points are not finite or there is no convergence.
    pub fn fit(
        points: &[f32],
        width: usize,
        labels: &[usize],
        classes: usize,
        l2: f64,
        mut check: impl FnMut() -> Result<()>,
    ) -> Result<Self> {
        if !points.iter().all(|v| v.is_finite()) {
            return Err(Error::Numerical(
                "linear probe: found points that are not finite".into(),
            ));
        }
        let problem = Problem::new(points, width, labels, l2);
        let mut weights = DMatrix::zeros(classes, width + 1);
        let (mut loss, mut gradient) = problem.loss_and_gradient(&weights);
        let mut memory = Memory::default();
        for _ in 0..MOST_ITERATIONS {
            check()?;
            if gradient.amax() < TOLERANCE {
                return Ok(Self { weights });
            }
            let direction = memory.direction(&gradient);
            let slope = direction.dot(&gradient);
            let mut length = 1.0;
            let (step, next, next_gradient) = loop {
                let step = &direction * length;
                let (next, next_gradient) = problem.loss_and_gradient(&(&weights + &step));
                if next <= loss + SUFFICIENT * length * slope {
                    break (step, next, next_gradient);
                }
                length *= 0.5;
                if length < 1e-12 {
                    return Err(not_converged(&gradient));
                }
            };
            memory.add(step.clone(), &next_gradient - &gradient);
            weights += step;
            (loss, gradient) = (next, next_gradient);
        }
        Err(not_converged(&gradient))
    }

    /// W with b as its last column, row-major [K, D + 1].
    pub fn coefficients(&self) -> Vec<f64> {
        let rows = self.weights.row_iter();
        rows.flat_map(|row| row.iter().copied().collect::<Vec<_>>())
            .collect()
    }

    /// The share of `points` [n, D] whose class is `labels`.
    pub fn accuracy(&self, points: &[f32], labels: &[usize]) -> f64 {
        let x = with_ones(points, self.weights.ncols() - 1);
        let scores = &self.weights * x; // [K, n]
        let right = (scores.column_iter().zip(labels))
            .filter(|(scores, label)| scores.argmax().0 == **label)
            .count();
        right as f64 / labels.len() as f64
    }
}

fn not_converged(gradient: &DMatrix<f64>) -> Error {
    Error::Numerical(format!(
        "linear probe: the gradient is still {:.1e} (expected below {TOLERANCE:.0e}); raise probe_l2",
        gradient.amax()
    ))
}

/// Points [n, D] as columns with a row of ones below: [D + 1, n].
fn with_ones(points: &[f32], width: usize) -> DMatrix<f64> {
    let columns = points
        .chunks_exact(width)
        .flat_map(|row| row.iter().map(|&v| f64::from(v)).chain([1.0]));
    DMatrix::from_iterator(width + 1, points.len() / width, columns)
}

/// The objective.
struct Problem<'a> {
    x: DMatrix<f64>,          // [D + 1, n]
    transposed: DMatrix<f64>, // [n, D + 1]
    labels: &'a [usize],
    l2: f64,
}

impl<'a> Problem<'a> {
    fn new(points: &[f32], width: usize, labels: &'a [usize], l2: f64) -> Self {
        let x = with_ones(points, width);
        Self {
            transposed: x.transpose(),
            x,
            labels,
            l2,
        }
    }

    /// f and its gradient [K, D + 1].
    fn loss_and_gradient(&self, weights: &DMatrix<f64>) -> (f64, DMatrix<f64>) {
        let n = self.labels.len() as f64;
        let mut errors = weights * &self.x; // scores [K, n], then softmax - one-hot
        let mut total = 0.0;
        for (mut scores, &label) in errors.column_iter_mut().zip(self.labels) {
            let most = scores.max();
            let picked = scores[label] - most;
            scores.apply(|s| *s = (*s - most).exp());
            let sum = scores.sum();
            total += sum.ln() - picked;
            scores /= sum;
            scores[label] -= 1.0;
        }
        let mut penalised = weights.clone();
        penalised.column_mut(weights.ncols() - 1).fill(0.0); // without b
        let loss = total / n + 0.5 * self.l2 * penalised.norm_squared();
        let gradient = errors * &self.transposed / n + penalised * self.l2;
        (loss, gradient)
    }
}

/// The last steps s and changes of the gradient y, with 1 / s.y.
#[derive(Default)]
struct Memory(VecDeque<(DMatrix<f64>, DMatrix<f64>, f64)>);

impl Memory {
    fn add(&mut self, step: DMatrix<f64>, change: DMatrix<f64>) {
        let curvature = step.dot(&change);
        // positive up to rounding, since f is convex
        if curvature > 1e-12 * change.norm_squared() {
            if self.0.len() == MEMORY {
                self.0.pop_front();
            }
            self.0.push_back((step, change, curvature.recip()));
        }
    }

    /// -H gradient, with H the approximate inverse Hessian (two-loop recursion).
    fn direction(&self, gradient: &DMatrix<f64>) -> DMatrix<f64> {
        let mut q = -gradient;
        let mut shares = Vec::with_capacity(self.0.len());
        for (step, change, inverse) in self.0.iter().rev() {
            let share = inverse * step.dot(&q);
            q -= change * share;
            shares.push(share);
        }
        if let Some((_, change, inverse)) = self.0.back() {
            q /= inverse * change.norm_squared();
        }
        for ((step, change, inverse), share) in self.0.iter().zip(shares.iter().rev()) {
            let correction = share - inverse * change.dot(&q);
            q += step * correction;
        }
        q
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    fn fit(points: &[f32], width: usize, labels: &[usize], classes: usize, l2: f64) -> LinearProbe {
        LinearProbe::fit(points, width, labels, classes, l2, || Ok(())).unwrap()
    }

    #[test]
    fn two_points_give_the_closed_form() {
        for l2 in [1e-3, 0.1, 1.0] {
            let probe = fit(&[-1.0, 1.0], 1, &[0, 1], 2, l2);
            // W = (-w, w), b = 0: f = log(1 + exp(-2 w)) + l2 w^2, stationary where w (1 + e^2w) = 1 / l2
            let w = probe.weights[(1, 0)];
            assert!((l2 * w * (1.0 + (2.0 * w).exp()) - 1.0).abs() < 0.02, "{w}");
            assert!((probe.weights[(0, 0)] + w).abs() < 1e-6);
            assert!(probe.weights[(0, 1)].abs() < 1e-6);
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let points = Streams::new(1).normal("points", 0, 30 * 4);
        let labels: Vec<usize> = (0..30).map(|i| i % 3).collect();
        let problem = Problem::new(&points, 4, &labels, 0.3);
        let weights = Streams::new(2).normal("weights", 0, 15);
        let weights = DMatrix::from_iterator(3, 5, weights.iter().map(|&w| f64::from(w)));
        let (_, gradient) = problem.loss_and_gradient(&weights);
        for at in 0..15 {
            let at_offset = |offset: f64| {
                let mut moved = weights.clone();
                moved[at] += offset;
                problem.loss_and_gradient(&moved).0
            };
            let central = (at_offset(1e-5) - at_offset(-1e-5)) / 2e-5;
            assert!((gradient[at] - central).abs() < 1e-8);
        }
    }

    #[test]
    fn separable_points_are_told_apart_and_random_labels_are_not() {
        let (n, width, classes) = (2000, 8, 4);
        let noise = Streams::new(3).normal("points", 0, n * width);
        let labels: Vec<usize> = (0..n).map(|i| i * 7 % 13 % classes).collect();
        // class k is shifted by 10 along axis k
        let separable: Vec<f32> = (noise.iter().enumerate())
            .map(|(at, z)| {
                let shifted = labels[at / width] == at % width;
                z + if shifted { 10.0 } else { 0.0 }
            })
            .collect();
        let half = n / 2;
        for (points, low, high) in [(&separable, 1.0, 1.0), (&noise, 0.2, 0.35)] {
            let probe = fit(
                &points[..half * width],
                width,
                &labels[..half],
                classes,
                1e-3,
            );
            let accuracy = probe.accuracy(&points[half * width..], &labels[half..]);
            assert!((low..=high).contains(&accuracy), "{accuracy}");
        }
    }
}
