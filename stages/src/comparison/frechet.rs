//! The Fréchet distance between two sets of features (Heusel et al. 2017, arXiv 1706.08500): the
//! squared 2-Wasserstein distance between the Gaussians of their means and covariances
//! (Dowson and Landau 1982),
//!
//! `|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`.
//!
//! `S1 S2` is not symmetric, but `tr (S1 S2)^(1/2) = tr (S1^(1/2) S2 S1^(1/2))^(1/2)`, whose argument
//! is. A finite set lies above zero even if its law is the other's: compare with the distance between
//! two parts of the data.

use crate::data::Moments;
use crate::error::{Error, Result};
use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// Mean and covariance of a set of features.
#[derive(Debug, Clone, PartialEq)]
pub struct Gaussian {
    /// `[F]`.
    pub mean: DVector<f64>,
    /// [F, F].
    pub covariance: DMatrix<f64>,
}

impl Gaussian {
    /// Mean and unbiased covariance of `rows` [n, width]; messages call them `name`.
    ///
    /// # Errors
    /// A numerical error for fewer than two rows, or values that are not finite.
    pub fn of_rows(rows: &[f32], width: usize, name: &str) -> Result<Self> {
        let count = rows.len() / width;
        if count < 2 {
            return Err(Error::Numerical(format!(
                "{name}: found {count} rows, expected at least 2 for a covariance"
            )));
        }
        if let Some(at) = rows.iter().position(|v| !v.is_finite()) {
            return Err(Error::Numerical(format!(
                "{name}: feature {} of row {} is {}, expected a finite number",
                at % width,
                at / width,
                rows[at]
            )));
        }
        let moments = Moments::of_rows(rows, width, true);
        let covariance = moments.covariance.expect("it was asked for");
        let unbiased = count as f64 / (count - 1) as f64;
        Ok(Self {
            mean: DVector::from_vec(moments.mean),
            covariance: DMatrix::from_vec(width, width, covariance) * unbiased,
        })
    }
}

/// The Fréchet distance between two Gaussians, in squared units of a feature.
pub fn frechet_distance(a: &Gaussian, b: &Gaussian) -> f64 {
    let root = square_root(&a.covariance);
    let between = &root * &b.covariance * &root;
    let eigenvalues = symmetric_eigen(between).eigenvalues;
    let overlap: f64 = eigenvalues.iter().map(|v| v.max(0.0).sqrt()).sum();
    let shift = (&a.mean - &b.mean).norm_squared();
    shift + a.covariance.trace() + b.covariance.trace() - 2.0 * overlap
}

/// S^(1/2) of a symmetric positive semidefinite matrix.
fn square_root(matrix: &DMatrix<f64>) -> DMatrix<f64> {
    let eigen = symmetric_eigen(matrix.clone());
    let roots = eigen.eigenvalues.map(|v| v.max(0.0).sqrt());
    &eigen.eigenvectors * DMatrix::from_diagonal(&roots) * eigen.eigenvectors.transpose()
}

/// The eigendecomposition of the symmetric part, since products are symmetric up to rounding only.
fn symmetric_eigen(matrix: DMatrix<f64>) -> SymmetricEigen<f64, nalgebra::Dyn> {
    SymmetricEigen::new((&matrix + matrix.transpose()) * 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    fn gaussian(mean: &[f64], covariance: DMatrix<f64>) -> Gaussian {
        Gaussian {
            mean: DVector::from_row_slice(mean),
            covariance,
        }
    }

    fn diagonal(values: &[f64]) -> DMatrix<f64> {
        DMatrix::from_diagonal(&DVector::from_row_slice(values))
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }

    #[test]
    fn diagonal_covariances_give_the_sum_over_axes() {
        let a = gaussian(&[0.0, 1.0, 2.0], diagonal(&[1.0, 4.0, 0.0]));
        let b = gaussian(&[1.0, 1.0, 4.0], diagonal(&[9.0, 1.0, 0.25]));
        // (m1 - m2)^2 + (s1 - s2)^2 of each axis
        let expected = (1.0 + 4.0) + (0.0 + 1.0) + (4.0 + 0.25);
        close(frechet_distance(&a, &b), expected);
        close(frechet_distance(&b, &a), expected);
    }

    #[test]
    fn commuting_covariances_give_the_sum_over_their_common_axes() {
        let turn = nalgebra::Rotation3::from_euler_angles(0.3, -1.1, 0.7);
        let turn = DMatrix::from_column_slice(3, 3, turn.matrix().as_slice());
        let turned = |values: &[f64]| &turn * diagonal(values) * turn.transpose();
        let a = gaussian(&[0.0; 3], turned(&[1.0, 4.0, 9.0]));
        let b = gaussian(&[0.0; 3], turned(&[4.0, 4.0, 0.25]));
        close(frechet_distance(&a, &b), 1.0 + 0.0 + 2.5 * 2.5);
    }

    #[test]
    fn covariances_that_do_not_commute_give_the_closed_form_in_two_dimensions() {
        let a = DMatrix::from_row_slice(2, 2, &[2.0, 0.6, 0.6, 1.0]);
        let b = DMatrix::from_row_slice(2, 2, &[0.5, -0.3, -0.3, 3.0]);
        let product: DMatrix<f64> = &a * &b;
        assert!((&product - &b * &a).norm() > 0.1, "they do not commute");
        let determinant: f64 = product.determinant();
        // tr M^(1/2) = (tr M + 2 (det M)^(1/2))^(1/2) for two positive eigenvalues
        let overlap = (product.trace() + 2.0 * determinant.sqrt()).sqrt();
        let expected = a.trace() + b.trace() - 2.0 * overlap;
        let zero = [0.0; 2];
        close(
            frechet_distance(&gaussian(&zero, a), &gaussian(&zero, b)),
            expected,
        );
    }

    #[test]
    fn equal_sets_are_at_zero_and_a_shifted_set_at_the_square_of_the_shift() {
        // singular: the last feature repeats the first
        let rows: Vec<f32> = Streams::new(1)
            .normal("rows", 0, 300)
            .chunks_exact(3)
            .flat_map(|z| [z[0], z[0] + 0.1 * z[1], z[2], z[0]])
            .collect();
        let shifted: Vec<f32> = rows.iter().map(|v| v + 1.0).collect();
        let a = Gaussian::of_rows(&rows, 4, "rows").unwrap();
        let b = Gaussian::of_rows(&shifted, 4, "rows").unwrap();
        assert!(frechet_distance(&a, &a).abs() < 1e-6);
        assert!((frechet_distance(&a, &b) - 4.0).abs() < 1e-5);
    }

    #[test]
    fn features_that_are_not_finite_are_an_error() {
        let error = Gaussian::of_rows(&[0.0, 1.0, f32::NAN, 2.0], 2, "samples").unwrap_err();
        assert!(error.to_string().contains("feature 0 of row 1 is NaN"));
    }
}
