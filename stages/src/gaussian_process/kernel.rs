//! Covariance functions.

use super::points::{Points, squared_distances};
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
    /// The correlation at the squared distance `square`.
    fn correlation(self, square: f64) -> f64 {
        match self {
            Self::Rbf => (-0.5 * square).exp(),
            Self::Matern => {
                let r = (5.0 * square).sqrt();
                (1.0 + r + r * r / 3.0) * (-r).exp()
            }
        }
    }

    /// The derivative of [`Self::correlation`] by `square`.
    fn slope(self, square: f64) -> f64 {
        match self {
            Self::Rbf => -0.5 * (-0.5 * square).exp(),
            Self::Matern => {
                let r = (5.0 * square).sqrt();
                -5.0 / 6.0 * (1.0 + r) * (-r).exp()
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
        squared_distances(a, b).map(|square| self.variance * self.family.correlation(square))
    }

    /// Covariances for squared distances [n, m], and their derivatives by the squared distance.
    pub(super) fn with_slopes(&self, squares: &DMatrix<f64>) -> (DMatrix<f64>, DMatrix<f64>) {
        (
            squares.map(|square| self.variance * self.family.correlation(square)),
            squares.map(|square| self.variance * self.family.slope(square)),
        )
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
