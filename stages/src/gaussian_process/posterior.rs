//! The posterior of a function given noisy values at some points.

use super::covariance::{JITTER, add_to_diagonal, explained, factor, require_finite};
use super::fit::Fit;
use super::inducing::{Inducing, spread_out};
use super::kernel::Kernel;
use super::points::Points;
use crate::error::Result;
use crate::numerics::Factor;
use nalgebra::{DMatrix, DVector};

/// The limits of exact and approximate posteriors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The largest number of points of an exact posterior.
    pub exact: usize,
    /// The number of inducing points above that.
    pub inducing: usize,
}

/// A Gaussian process conditioned on data.
#[derive(Debug, Clone)]
pub struct Posterior {
    pub(super) kernel: Kernel,
    pub(super) mean: f64,
    pub(super) noise: f64,
    /// The scaled points [n, D] of the posterior: all, or the inducing points.
    pub(super) support: DMatrix<f64>,
    pub(super) of: Kind,
}

/// The solved form of a posterior.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// All points: the factor of `K + noise I`, and the values minus the mean.
    Exact(Factor, DVector<f64>),
    /// Inducing points.
    Inducing(Inducing),
}

/// Points with their covariances with the points of a posterior.
#[derive(Debug, Clone)]
pub struct Located {
    /// The scaled points [n, D].
    pub(super) scaled: DMatrix<f64>,
    /// Their covariances with the posterior's points, [support, n].
    pub(super) cross: DMatrix<f64>,
}

impl Located {
    /// The number of points.
    pub fn count(&self) -> usize {
        self.scaled.nrows()
    }

    /// These points, then `others` of the same posterior.
    #[must_use]
    pub fn and(mut self, others: &Self) -> Self {
        let (n, more) = (self.scaled.nrows(), others.scaled.nrows());
        self.scaled = self.scaled.insert_rows(n, more, 0.0);
        self.scaled.rows_mut(n, more).copy_from(&others.scaled);
        self.cross = self.cross.insert_columns(n, more, 0.0);
        self.cross.columns_mut(n, more).copy_from(&others.cross);
        self
    }
}

impl Posterior {
    /// The posterior given the noisy `values` at `points`, with the settings of `fit`.
    ///
    /// # Errors
    /// A numerical error if covariances are not positive definite, as for values that are not finite.
    pub fn new(fit: &Fit, points: &Points, values: &[f64], size: Size) -> Result<Self> {
        let kernel = fit.kernel.clone();
        let scaled = kernel.scaled(points);
        let centred = DVector::from_iterator(values.len(), values.iter().map(|v| v - fit.mean));
        require_finite(&centred)?;
        let (support, of) = if points.count() <= size.exact {
            let mut covariance = kernel.within(&scaled);
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

    /// `points` as the posterior needs them.
    pub fn locate(&self, points: &Points) -> Located {
        let scaled = self.kernel.scaled(points);
        let cross = self.kernel.between(&self.support, &scaled);
        Located { scaled, cross }
    }

    /// Mean and variance of the noise-free function at each of `points`.
    pub fn at(&self, points: &Located) -> Vec<(f64, f64)> {
        let cross = &points.cross;
        let variance = self.kernel.variance;
        let (means, explained) = match &self.of {
            Kind::Exact(factor, centred) => {
                let means = cross.tr_mul(&factor.solve_vector(centred));
                (means, explained(factor, cross))
            }
            Kind::Inducing(inducing) => inducing.at(cross),
        };
        let pairs = means.iter().zip(&explained);
        pairs
            .map(|(mean, explained)| (self.mean + mean, (variance - explained).max(0.0)))
            .collect()
    }
}
