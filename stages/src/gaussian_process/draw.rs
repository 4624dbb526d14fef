//! Draws of functions from the posterior at given points.

use super::kernel::Kernel;
use super::posterior::{Kind, Located, Posterior};
use crate::numerics::view;
use latent_align_kernels::{Matrix, Onto, Room, multiply, waves};
use nalgebra::DMatrix;
use rand::RngExt;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use std::f64::consts::TAU;

/// The values [n, count] of `count` functions drawn from `posterior` at the points `at`. A draw is a draw g of the prior
/// plus a correction by the data (Wilson et al., 2020):
///
/// ```text
/// f(x) = mean + g(x) + k(x, X) weights
/// ```
///
/// All draws share `features` random frequencies.
pub fn draws(
    posterior: &Posterior,
    at: &Located,
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
    let at_support = prior.at(support).transpose();
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
    let mut values = prior.at(&at.scaled);
    let room = Room {
        onto: Onto::Add,
        ..Room::new(values.as_mut_slice(), count)
    };
    multiply(view(&at.cross).transposed(), view(&weights), room);
    values.transpose().add_scalar(*mean)
}

/// Points at which waves are computed at once.
const AT_ONCE: usize = 512;

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
        let frequencies = kernel.frequencies(features, elements, rng);
        let phases = (0..features).map(|_| TAU * rng.random::<f64>()).collect();
        let scale = (2.0 * kernel.variance / features as f64).sqrt();
        Self {
            frequencies,
            phases,
            weights: normals([features, count], rng) * scale,
        }
    }

    /// At scaled points [n, D]: [count, n].
    fn at(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let ((n, elements), (features, count)) = (points.shape(), self.weights.shape());
        let mut values = DMatrix::zeros(count, n);
        let mut room = vec![0.0; features * n.min(AT_ONCE)];
        for (block, values) in
            (values.as_mut_slice().chunks_mut((AT_ONCE * count).max(1))).enumerate()
        {
            let rows = values.len() / count;
            let some = &points.as_slice()[block * AT_ONCE..];
            let some = Matrix::of_columns(some, rows, elements, n);
            let room = &mut room[..rows * features];
            waves(
                some,
                view(&self.frequencies),
                &self.phases,
                Room::new(room, features),
            );
            let waves = Matrix::new(room, rows, features);
            multiply(waves, view(&self.weights), Room::new(values, count));
        }
        values
    }
}

/// A matrix of standard normal numbers.
fn normals([rows, columns]: [usize; 2], rng: &mut Pcg64) -> DMatrix<f64> {
    let numbers = rng.sample_iter(StandardNormal).take(rows * columns);
    DMatrix::from_iterator(rows, columns, numbers)
}
