//! Gaussian mixtures with full covariances, which affine maps and flows keep in closed form.

use crate::data::Normaliser;
use nalgebra::{DMatrix, SymmetricEigen};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

/// A mixture of Gaussians in d dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianMixture {
    /// Weight of each component; positive, not necessarily normalised.
    pub weights: Vec<f64>,
    /// Mean of each component, `[d]`.
    pub means: Vec<Vec<f64>>,
    /// Covariance of each component, row-major [d, d], positive definite.
    pub covariances: Vec<Vec<f64>>,
}

/// The eigenvalues and eigenvectors of one covariance.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentEigen {
    /// Ascending, `[d]`.
    pub values: Vec<f64>,
    /// Row-major [d, d]; column j belongs to value j. C = V diag(values) V^T.
    pub vectors: Vec<f64>,
}

impl GaussianMixture {
    /// d.
    pub fn width(&self) -> usize {
        self.means.first().map_or(0, Vec::len)
    }

    /// The distribution of y = (x - mean) A for x of this distribution; A may reduce the width.
    ///
    /// # Panics
    /// If the normaliser's input has another width.
    pub fn affine(&self, normaliser: &Normaliser) -> Self {
        let (from, to) = (normaliser.input_width, normaliser.output_width);
        assert_eq!(self.width(), from, "the normaliser is for another width");
        let matrix = DMatrix::from_row_slice(from, to, &normaliser.matrix());
        let means = self.means.iter().map(|mean| {
            let centred = mean.iter().zip(&normaliser.mean).map(|(m, c)| m - c);
            (DMatrix::from_iterator(1, from, centred) * &matrix)
                .as_slice()
                .to_vec()
        });
        let covariances = self.covariances.iter().map(|covariance| {
            let covariance = DMatrix::from_row_slice(from, from, covariance);
            let mapped = matrix.transpose() * covariance * &matrix;
            // Symmetric up to rounding; made exactly symmetric.
            ((&mapped + mapped.transpose()) * 0.5).as_slice().to_vec()
        });
        Self {
            weights: self.weights.clone(),
            means: means.collect(),
            covariances: covariances.collect(),
        }
    }

    /// ln p(x) in nats; NaN if a covariance is not positive definite. Factorises the covariances on
    /// each call: for many points use [`Self::density`].
    pub fn log_density(&self, x: &[f64]) -> f64 {
        self.density().map_or(f64::NAN, |d| d.log_density(x))
    }

    /// The density with factorised covariances; `None` if one is not positive definite.
    pub fn density(&self) -> Option<MixtureDensity> {
        let width = self.width();
        let total: f64 = self.weights.iter().sum();
        let components = self
            .weights
            .iter()
            .zip(self.means.iter().zip(&self.covariances))
            .map(|(weight, (mean, covariance))| {
                let factor = DMatrix::from_row_slice(width, width, covariance)
                    .cholesky()?
                    .unpack();
                let log_det: f64 = factor.diagonal().iter().map(|v| v.ln()).sum();
                let two_pi = (2.0 * std::f64::consts::PI).ln();
                Some(Factored {
                    weight: weight / total,
                    log_peak: (weight / total).ln() - log_det - 0.5 * width as f64 * two_pi,
                    mean: mean.clone(),
                    factor: factor.transpose().as_slice().to_vec(),
                })
            });
        Some(MixtureDensity {
            components: components.collect::<Option<_>>()?,
        })
    }

    /// Eigenvalues and eigenvectors of each covariance, for functions of it such as S(t) = (1 -
    /// t)^2 I + t^2 C at many t.
    pub fn components_eigen(&self) -> Vec<ComponentEigen> {
        let width = self.width();
        self.covariances
            .iter()
            .map(|covariance| {
                let eigen = SymmetricEigen::new(DMatrix::from_row_slice(width, width, covariance));
                let mut order: Vec<usize> = (0..width).collect();
                order.sort_by(|&a, &b| eigen.eigenvalues[a].total_cmp(&eigen.eigenvalues[b]));
                ComponentEigen {
                    values: order.iter().map(|&j| eigen.eigenvalues[j]).collect(),
                    vectors: (0..width * width)
                        .map(|i| eigen.eigenvectors[(i / width, order[i % width])])
                        .collect(),
                }
            })
            .collect()
    }
}

/// A [`GaussianMixture`] with factorised covariances.
#[derive(Debug, Clone)]
pub struct MixtureDensity {
    components: Vec<Factored>,
}

#[derive(Debug, Clone)]
struct Factored {
    weight: f64,
    /// ln of weight times the density at the mean.
    log_peak: f64,
    mean: Vec<f64>,
    /// Lower Cholesky factor, row-major [d, d].
    factor: Vec<f64>,
}

impl MixtureDensity {
    /// ln p(x) in nats.
    pub fn log_density(&self, x: &[f64]) -> f64 {
        log_sum_exp(self.components.iter().map(|c| c.log_weighted_density(x)))
    }

    /// The component with the largest posterior probability at `x`.
    pub fn likeliest(&self, x: &[f64]) -> usize {
        let densities = self.components.iter().map(|c| c.log_weighted_density(x));
        let best = densities.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        best.expect("a mixture has components").0
    }

    /// Appends one sample to `out`.
    pub(super) fn sample_into(&self, rng: &mut (impl Rng + ?Sized), out: &mut Vec<f32>) {
        let mut left: f64 = rng.random();
        let mut chosen = self.components.len() - 1;
        for (k, component) in self.components.iter().enumerate() {
            left -= component.weight;
            if left < 0.0 {
                chosen = k;
                break;
            }
        }
        let Factored { mean, factor, .. } = &self.components[chosen];
        let width = mean.len();
        let noise: Vec<f64> = (0..width).map(|_| rng.sample(StandardNormal)).collect();
        for (i, &centre) in mean.iter().enumerate() {
            let row = &factor[i * width..i * width + i + 1];
            let spread: f64 = row.iter().zip(&noise).map(|(l, z)| l * z).sum();
            out.push((centre + spread) as f32);
        }
    }
}

impl Factored {
    fn log_weighted_density(&self, x: &[f64]) -> f64 {
        let width = self.mean.len();
        // Solves L z = x - mean by forward substitution.
        let mut z = vec![0.0; width];
        for i in 0..width {
            let row = &self.factor[i * width..(i + 1) * width];
            let known: f64 = row[..i].iter().zip(&z).map(|(l, z)| l * z).sum();
            z[i] = (x[i] - self.mean[i] - known) / row[i];
        }
        self.log_peak - 0.5 * z.iter().map(|z| z * z).sum::<f64>()
    }
}

/// ln sum exp without overflow; -inf for no terms.
pub(super) fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    // Terms below e^-45 of the largest do not affect the sum in f64; most are.
    let terms = values.map(|v| v - largest).filter(|&v| v > -45.0);
    largest + terms.map(f64::exp).sum::<f64>().ln()
}
