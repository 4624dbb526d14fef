//! Draws of functions from the posterior at given points.

use super::kernel::Kernel;
use super::points::Points;
use super::posterior::{Kind, Posterior};
use crate::numerics::product;
use latent_align_kernels::cosines;
use nalgebra::DMatrix;
use rand::RngExt;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use std::f64::consts::TAU;

/// The values [n, count] of `count` functions drawn from `posterior` at `points`. A draw is a draw g of the prior
/// plus a correction by the data (Wilson et al., 2020):
///
/// ```text
/// f(x) = mean + g(x) + k(x, X) weights
/// ```
///
/// All draws share `features` random frequencies, and the covariances of points and data, which are the most
/// expensive part.
pub fn draws(
    posterior: &Posterior,
    points: &Points,
    count: usize,
    features: usize,
    rng: &mut Pcg64,
) -> DMatrix<f64> {
    let Posterior {
        kernel,
        mean,
        noise,
        support,
        of,
    } = posterior;
    let prior = Prior::new(kernel, features, support.ncols(), count, rng);
    let at_support = prior.at(support);
    let normal = normals([support.nrows(), count], rng);
    let weights = match of {
        Kind::Exact(factor, centred) => {
            let mut residuals = -(at_support + normal * noise.sqrt());
            for mut column in residuals.column_iter_mut() {
                column += centred;
            }
            factor.solve(&residuals)
        }
        Kind::Inducing(inducing) => inducing.weights(&at_support, &normal),
    };
    let scaled = kernel.scaled(points);
    let values = prior.at(&scaled) + product(&kernel.between(&scaled, support), &weights);
    values.add_scalar(*mean)
}

/// Draws of the prior by random Fourier features: `sqrt(2 variance / F) sum_j weight_j cos(frequency_j . x + phase_j)`.
struct Prior {
    /// [D, F].
    frequencies: DMatrix<f64>,
    phases: Vec<f64>,
    /// [F, count].
    weights: DMatrix<f64>,
}

impl Prior {
    fn new(
        kernel: &Kernel,
        features: usize,
        elements: usize,
        count: usize,
        rng: &mut Pcg64,
    ) -> Self {
        let frequencies = kernel.frequencies(features, elements, rng).transpose();
        let phases = (0..features).map(|_| TAU * rng.random::<f64>()).collect();
        let scale = (2.0 * kernel.variance / features as f64).sqrt();
        Self {
            frequencies,
            phases,
            weights: normals([features, count], rng) * scale,
        }
    }

    /// At scaled points [n, D]: [n, count].
    fn at(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let mut waves = product(points, &self.frequencies);
        for (mut column, phase) in waves.column_iter_mut().zip(&self.phases) {
            column.add_scalar_mut(*phase);
        }
        cosines(waves.as_mut_slice());
        product(&waves, &self.weights)
    }
}

/// A matrix of standard normal numbers.
fn normals([rows, columns]: [usize; 2], rng: &mut Pcg64) -> DMatrix<f64> {
    let numbers = rng.sample_iter(StandardNormal).take(rows * columns);
    DMatrix::from_iterator(rows, columns, numbers)
}
