//! The variational posterior by inducing points: Titsias, "Variational Learning of Inducing Variables in Sparse
//! Gaussian Processes", 2009.

use super::covariance::{JITTER, add_to_diagonal, explained, factor};
use super::kernel::Kernel;
use crate::error::Result;
use crate::numerics::{Factor, product};
use nalgebra::{DMatrix, DVector};

/// With `L L^T = K_uu`, `A = L^-1 K_uf / sqrt(noise)` and `B = I + A A^T`, the function at the inducing points has mean
/// `L B^-1 A y / sqrt(noise)` and covariance `L B^-1 L^T`.
#[derive(Debug, Clone)]
pub(super) struct Inducing {
    /// L.
    prior: Factor,
    /// The factor of B.
    inner: Factor,
    /// `B^-1 A y / sqrt(noise)`: the mean in coordinates in which the prior is N(0, I).
    white: DVector<f64>,
}

impl Inducing {
    /// The posterior given the values `centred` at the scaled points `all` [n, D], with the scaled points
    /// `inducing` [m, D].
    ///
    /// # Errors
    /// A numerical error if covariances are not positive definite.
    pub fn new(
        kernel: &Kernel,
        inducing: &DMatrix<f64>,
        all: &DMatrix<f64>,
        centred: &DVector<f64>,
        noise: f64,
    ) -> Result<Self> {
        let mut covariance = kernel.within(inducing);
        // 100 times the jitter of an exact posterior, whose diagonal also has the noise
        add_to_diagonal(&mut covariance, 100.0 * JITTER * kernel.variance);
        let prior = factor(covariance)?;
        let scale = noise.sqrt();
        let a = prior.solve_lower(&kernel.between(inducing, all)) / scale;
        let mut inner = product(&a, &a.transpose());
        add_to_diagonal(&mut inner, 1.0);
        let inner = factor(inner)?;
        let white = inner.solve_vector(&(a * centred / scale));
        Ok(Self {
            prior,
            inner,
            white,
        })
    }

    /// Means minus the prior's mean, and reductions of the prior's variance, at points whose covariances with the
    /// inducing points are `cross` [m, n].
    pub fn at(&self, cross: &DMatrix<f64>) -> (DVector<f64>, Vec<f64>) {
        let whitened = self.prior.solve_lower(cross);
        let means = whitened.tr_mul(&self.white);
        let kept = explained(&self.inner, &whitened);
        let all = whitened.column_iter().map(|c| c.norm_squared());
        (means, all.zip(kept).map(|(all, kept)| all - kept).collect())
    }

    /// The weights `K_uu^-1 (u - prior)` [m, count] of draws u of the function at the inducing points, given
    /// standard normal numbers `normal` and draws `prior` of the prior there.
    pub fn weights(&self, prior: &DMatrix<f64>, normal: &DMatrix<f64>) -> DMatrix<f64> {
        let mut drawn = self.inner.solve_upper(normal) - self.prior.solve_lower(prior);
        for mut column in drawn.column_iter_mut() {
            column += &self.white;
        }
        self.prior.solve_upper(&drawn)
    }
}

/// At most `count` of the scaled `points` [n, D], each with the largest conditional variance given those before it:
/// the pivots of a Cholesky factorisation of their covariance (Burt et al., "Convergence of Sparse Variational
/// Inference in Gaussian Processes Regression", 2020). Fewer if these determine the rest.
pub(super) fn spread_out(kernel: &Kernel, points: &DMatrix<f64>, count: usize) -> Vec<usize> {
    let n = points.nrows();
    let mut left = vec![kernel.variance; n];
    let mut rows: Vec<DVector<f64>> = Vec::new();
    let mut chosen = Vec::new();
    while chosen.len() < count.min(n) {
        let (pivot, &most) = (left.iter().enumerate())
            .max_by(|a, b| a.1.total_cmp(b.1))
            .expect("there are points");
        if most < 1e-6 * kernel.variance {
            break;
        }
        let one = points.rows(pivot, 1).into_owned();
        let mut row: DVector<f64> = kernel.between(points, &one).column(0).into_owned();
        for before in &rows {
            row.axpy(-before[pivot], before, 1.0);
        }
        row /= most.sqrt();
        for (left, value) in left.iter_mut().zip(row.iter()) {
            *left -= value * value;
        }
        left[pivot] = f64::NEG_INFINITY;
        rows.push(row);
        chosen.push(pivot);
    }
    chosen
}
