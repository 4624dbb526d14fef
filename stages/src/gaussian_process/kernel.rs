//! Covariance functions.

use super::points::{Points, squared_distances};
use latent_align_kernels::{exponentials, matern, matern_with_slopes};
use nalgebra::DMatrix;
use rand::RngExt;
use rand_distr::{ChiSquared, Distribution, StandardNormal};
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The correlation as a function of the scaled distance r.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// `exp(-r^2 / 2)`.
    Rbf,
    /// `(1 + sqrt(5) r + 5 r^2 / 3) exp(-sqrt(5) r)`.
    #[default]
    Matern,
}

impl Family {
    /// Replaces squared distances by correlations.
    fn correlations(self, squares: &mut [f64]) {
        match self {
            Self::Rbf => {
                squares.iter_mut().for_each(|square| *square *= -0.5);
                exponentials(squares);
            }
            Self::Matern => matern(squares),
        }
    }

    /// As [`Self::correlations`], and gives their derivatives by the squared distances.
    pub(super) fn correlations_with_slopes(self, squares: &mut [f64]) -> Vec<f64> {
        match self {
            Self::Rbf => {
                self.correlations(squares);
                squares
                    .iter()
                    .map(|correlation| -0.5 * correlation)
                    .collect()
            }
            Self::Matern => {
                let mut slopes = vec![0.0; squares.len()];
                matern_with_slopes(squares, &mut slopes);
                slopes
            }
        }
    }
}

/// A covariance function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kernel {
    /// The family.
    pub family: Family,
    /// The lengthscale of each token.
    pub lengths: Vec<f64>,
    /// The variance of a function value.
    pub variance: f64,
}

impl Kernel {
    /// `points` with every token divided by its lengthscale.
    pub(super) fn scaled(&self, points: &Points) -> DMatrix<f64> {
        points.divided(&self.lengths)
    }

    /// Covariances [n, m] between the scaled points `a` [n, D] and `b` [m, D].
    pub(super) fn between(&self, a: &DMatrix<f64>, b: &DMatrix<f64>) -> DMatrix<f64> {
        let mut covariances = squared_distances(a, b);
        self.family.correlations(covariances.as_mut_slice());
        covariances * self.variance
    }

    /// `count` frequencies [count, D] of the kernel's spectrum, for scaled points of D numbers (Rahimi and Recht, 2007):
    /// normal for the RBF kernel, Student's t with five degrees of freedom for the Matérn one.
    pub(super) fn frequencies(
        &self,
        count: usize,
        elements: usize,
        rng: &mut Pcg64,
    ) -> DMatrix<f64> {
        let mut frequencies = DMatrix::zeros(count, elements);
        let chi = ChiSquared::new(5.0_f64).expect("five degrees of freedom");
        for mut row in frequencies.row_iter_mut() {
            let stretch = match self.family {
                Family::Rbf => 1.0,
                Family::Matern => (5.0 / chi.sample(rng)).sqrt(),
            };
            for value in row.iter_mut() {
                let normal: f64 = rng.sample(StandardNormal);
                *value = stretch * normal;
            }
        }
        frequencies
    }
}
