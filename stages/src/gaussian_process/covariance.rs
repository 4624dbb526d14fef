//! Covariance matrices and their factors.

use crate::error::{Error, Result};
use crate::numerics::Factor;
use nalgebra::{DMatrix, DVector};

/// Added to the diagonal of a covariance of function values, relative to their variance, so that rounding errors
/// leave it positive definite.
pub(super) const JITTER: f64 = 1e-8;

/// The squared norm of each column of `L^-1 cross` for the factor L.
pub(super) fn explained(factor: &Factor, cross: &DMatrix<f64>) -> Vec<f64> {
    let white = factor.solve_lower(cross);
    white.column_iter().map(|c| c.norm_squared()).collect()
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
/// A numerical error if it is not positive definite.
pub(super) fn factor(covariance: DMatrix<f64>) -> Result<Factor> {
    Factor::new(covariance).ok_or_else(|| {
        Error::Numerical(
            "the covariance of the surrogate's points is not positive definite; are all latents and scores finite?"
                .into(),
        )
    })
}

/// Checks that `values` are finite.
///
/// # Errors
/// A numerical error if one is not.
pub(super) fn require_finite(values: &DVector<f64>) -> Result<()> {
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(()),
        false => Err(Error::Numerical(
            "a score, or a weight of the surrogate's mean, is not finite".into(),
        )),
    }
}
