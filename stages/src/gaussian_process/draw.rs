//! A function drawn from the posterior.

use super::kernel::Kernel;
use super::points::Points;
use super::posterior::{Kind, Posterior};
use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use std::f64::consts::TAU;

/// A draw of the posterior: a draw g of the prior, and what corrects it where there are data,
///
/// ```text
/// f(x) = mean + g(x) + k(x, X) weights
/// ```
#[derive(Debug, Clone)]
pub struct Draw {
    kernel: Kernel,
    mean: f64,
    prior: PriorDraw,
    /// [n, D], scaled.
    support: DMatrix<f64>,
    weights: DVector<f64>,
}

impl Draw {
    /// A draw of `posterior` with `features` random Fourier features.
    pub(super) fn new(posterior: &Posterior, features: usize, rng: &mut Pcg64) -> Self {
        let Posterior {
            kernel,
            mean,
            noise,
            support,
            of,
        } = posterior;
        let prior = PriorDraw::new(kernel, features, support.ncols(), rng);
        let at_support = prior.at(support);
        let normal = normals(support.nrows(), rng);
        let weights = match of {
            Kind::Exact(factor, centred) => {
                factor.solve(&(centred - at_support - normal * noise.sqrt()))
            }
            Kind::Inducing(inducing) => inducing.weights(&at_support, normal),
        };
        Self {
            kernel: kernel.clone(),
            mean: *mean,
            prior,
            support: support.clone(),
            weights,
        }
    }

    /// Its values at `points`.
    pub fn at(&self, points: &Points) -> Vec<f64> {
        let scaled = self.kernel.scaled(points);
        let corrections = self.kernel.between(&scaled, &self.support) * &self.weights;
        let values = self.prior.at(&scaled) + corrections;
        values.iter().map(|value| self.mean + value).collect()
    }
}

/// `sqrt(2 variance / F) sum_j weight_j cos(frequency_j . x + phase_j)`.
#[derive(Debug, Clone)]
struct PriorDraw {
    /// [D, F].
    frequencies: DMatrix<f64>,
    phases: Vec<f64>,
    weights: DVector<f64>,
}

impl PriorDraw {
    fn new(kernel: &Kernel, features: usize, elements: usize, rng: &mut Pcg64) -> Self {
        let frequencies = kernel.frequencies(features, elements, rng).transpose();
        let phases = (0..features).map(|_| TAU * rng.random::<f64>()).collect();
        let scale = (2.0 * kernel.variance / features as f64).sqrt();
        Self {
            frequencies,
            phases,
            weights: normals(features, rng) * scale,
        }
    }

    /// At scaled points [n, D].
    fn at(&self, points: &DMatrix<f64>) -> DVector<f64> {
        let mut waves = points * &self.frequencies;
        for (mut column, phase) in waves.column_iter_mut().zip(&self.phases) {
            column.apply(|value| *value = (*value + phase).cos());
        }
        waves * &self.weights
    }
}

/// `count` standard normal numbers.
fn normals(count: usize, rng: &mut Pcg64) -> DVector<f64> {
    DVector::from_iterator(count, rng.sample_iter(StandardNormal).take(count))
}
