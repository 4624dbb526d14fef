//! Covariance functions.

use super::points::Points;
use crate::numerics::view;
use latent_align_kernels::{Correlation, Room, covariances};
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
    pub(super) fn correlation(self) -> Correlation {
        match self {
            Self::Rbf => Correlation::Gaussian,
            Self::Matern => Correlation::Matern,
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
        let mut out = DMatrix::zeros(a.nrows(), b.nrows());
        let room = Room::new(out.as_mut_slice(), a.nrows());
        let (of, sides) = (self.family.correlation(), [view(b), view(a)]);
        covariances(of, self.variance, sides, room);
        out
    }

    /// The lower triangle of the covariances [n, n] of the scaled `points` [n, D].
    pub(super) fn within(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let n = points.nrows();
        let mut out = DMatrix::zeros(n, n);
        let room = Room {
            upper: true, // the kernel's rows are our columns
            ..Room::new(out.as_mut_slice(), n)
        };
        let (of, sides) = (self.family.correlation(), [view(points); 2]);
        covariances(of, self.variance, sides, room);
        out
    }

    /// `count` frequencies [D, count] of the kernel's spectrum, for scaled points of D numbers (Rahimi and Recht, 2007):
    /// normal for the RBF kernel, Student's t with five degrees of freedom for the Matérn one.
    pub(super) fn frequencies(
        &self,
        count: usize,
        elements: usize,
        rng: &mut Pcg64,
    ) -> DMatrix<f64> {
        let mut frequencies = DMatrix::zeros(elements, count);
        let chi = ChiSquared::new(5.0_f64).expect("five degrees of freedom");
        for mut frequency in frequencies.column_iter_mut() {
            let stretch = match self.family {
                Family::Rbf => 1.0,
                Family::Matern => (5.0 / chi.sample(rng)).sqrt(),
            };
            for value in frequency.iter_mut() {
                let normal: f64 = rng.sample(StandardNormal);
                *value = stretch * normal;
            }
        }
        frequencies
    }
}
