//! What is known of a function after its noisy values at some points.

use super::draw::Draw;
use super::fit::Fit;
use super::inducing::{Inducing, spread_out};
use super::kernel::Kernel;
use super::points::Points;
use crate::error::{Error, Result};
use nalgebra::{Cholesky, DMatrix, DVector, Dyn};
use rand_pcg::Pcg64;

/// Added to the diagonal of a covariance of function values, as a share of their variance, so that rounding leaves it
/// positive definite.
pub(super) const JITTER: f64 = 1e-8;

/// How many points a posterior is exact for, and how many stand for all where there are more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The most points of an exact posterior.
    pub exact: usize,
    /// Inducing points above that.
    pub inducing: usize,
}

/// A Gaussian process given data.
#[derive(Debug, Clone)]
pub struct Posterior {
    pub(super) kernel: Kernel,
    pub(super) mean: f64,
    pub(super) noise: f64,
    /// The scaled points [n, D] that carry it: all, or the inducing ones.
    pub(super) support: DMatrix<f64>,
    pub(super) of: Kind,
}

/// What a posterior is solved from.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// All points: the factor of `K + noise I`, and the targets less the mean.
    Exact(Cholesky<f64, Dyn>, DVector<f64>),
    /// Inducing points.
    Inducing(Inducing),
}

impl Posterior {
    /// Of the noisy `values` at `points`, with the settings of `fit`.
    ///
    /// # Errors
    /// A numerical error where covariances are not positive definite, as for values that are not finite.
    pub fn new(fit: &Fit, points: &Points, values: &[f64], size: Size) -> Result<Self> {
        let kernel = fit.kernel.clone();
        let scaled = kernel.scaled(points);
        let centred = DVector::from_iterator(values.len(), values.iter().map(|v| v - fit.mean));
        require_finite(&centred)?;
        let (support, of) = if points.count() <= size.exact {
            let mut covariance = kernel.between(&scaled, &scaled);
            add_to_diagonal(&mut covariance, fit.noise + JITTER * kernel.variance);
            (scaled, Kind::Exact(factor(covariance)?, centred))
        } else {
            let chosen = spread_out(&kernel, &scaled, size.inducing);
            let inducing = scaled.select_rows(&chosen);
            let of = Inducing::new(&kernel, &inducing, &scaled, &centred, fit.noise)?;
            (inducing, Kind::Inducing(of))
        };
        Ok(Self {
            kernel,
            mean: fit.mean,
            noise: fit.noise,
            support,
            of,
        })
    }

    /// Mean and variance of the function, without noise, at each of `points`.
    pub fn at(&self, points: &Points) -> Vec<(f64, f64)> {
        let cross = (self.kernel).between(&self.support, &self.kernel.scaled(points));
        let variance = self.kernel.variance;
        let (means, explained) = match &self.of {
            Kind::Exact(factor, centred) => {
                let means = cross.tr_mul(&factor.solve(centred));
                (means, explained(factor, &cross))
            }
            Kind::Inducing(inducing) => inducing.at(&cross),
        };
        let pairs = means.iter().zip(&explained);
        pairs
            .map(|(mean, explained)| (self.mean + mean, (variance - explained).max(0.0)))
            .collect()
    }

    /// A draw of the function, with `features` random Fourier features.
    pub fn draw(&self, features: usize, rng: &mut Pcg64) -> Draw {
        Draw::new(self, features, rng)
    }
}

/// The squared norm of `L^-1 c` for each column c of `cross`, L being the factor.
pub(super) fn explained(factor: &Cholesky<f64, Dyn>, cross: &DMatrix<f64>) -> Vec<f64> {
    let solved = factor
        .l_dirty()
        .solve_lower_triangular(cross)
        .expect("a factor's diagonal is positive");
    solved.column_iter().map(|c| c.norm_squared()).collect()
}

/// Adds `value` to the diagonal of `matrix`.
pub(super) fn add_to_diagonal(matrix: &mut DMatrix<f64>, value: f64) {
    for i in 0..matrix.nrows() {
        matrix[(i, i)] += value;
    }
}

/// The Cholesky factor of `covariance`.
///
/// # Errors
/// A numerical error where it is not positive definite.
pub(super) fn factor(covariance: DMatrix<f64>) -> Result<Cholesky<f64, Dyn>> {
    covariance.cholesky().ok_or_else(|| {
        Error::Numerical(
            "the covariance of the surrogate's points is not positive definite; are all latents and scores finite?"
                .into(),
        )
    })
}

/// That `values` are finite.
///
/// # Errors
/// A numerical error where one is not.
pub(super) fn require_finite(values: &DVector<f64>) -> Result<()> {
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(()),
        false => Err(Error::Numerical(
            "a score, or a weight of the surrogate's mean, is not finite".into(),
        )),
    }
}
