//! A Gaussian with a full covariance: linear inverse autoregressive flow, and its convex combination (Tomczak and
//! Welling 2017, arXiv 1706.02326).
//!
//! A draw of a diagonal Gaussian is multiplied by a unit lower-triangular matrix:
//!
//! ```text
//! z = L z_0      z_0 ~ N(mean, diag(variance))      L = I + sum_k w_k L_k      w = softmax(y)
//! ```
//!
//! so that `|det L| = 1`, and `log q(z|x)` is that of `z_0`. `z ~ N(L mean, L diag(variance) L^T)`: one matrix
//! reaches every covariance, since each is such a product. More matrices change the parametrisation, but not the
//! family.

use super::gaussian::{Diagonal, START};
use super::kind::{PosteriorKind, Weightless, check_row, tokens};
use super::posterior::{Draw, Posterior};
use crate::fused::{RowMap, is_fused, row_map};
use crate::priors::PointShape;
use crate::problems::Problems;
use crate::tensors::indices;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Gaussian with a full covariance over all numbers of a row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LinearIaf {
    /// Number K of triangular matrices, of which a row uses a convex combination; 1 reaches every covariance.
    pub matrices: usize,
}

impl Default for LinearIaf {
    fn default() -> Self {
        Self { matrices: 1 }
    }
}

/// Maximum numbers per row: a training step holds one matrix per row.
const MOST: usize = 512;

/// Number of entries below the diagonal of a matrix of `size` rows.
fn below_diagonal(size: usize) -> usize {
    size * size.saturating_sub(1) / 2
}

impl PosteriorKind for LinearIaf {
    fn check(&self, problems: &mut Problems) {
        problems.within("matrices", self.matrices, 1..=64);
    }

    fn check_shape(&self, shape: PointShape) -> Result<(), String> {
        check_row(shape, 2..=MOST, "ties together")
    }

    /// Log-variances, then K strictly lower triangles row by row, then K logits if K > 1.
    fn others(&self, shape: PointShape) -> usize {
        let size = shape.elements();
        let logits = if self.matrices > 1 { self.matrices } else { 0 };
        size + self.matrices * below_diagonal(size) + logits
    }

    fn start(&self, shape: PointShape) -> Vec<f32> {
        let mut start = vec![0.0; self.others(shape)];
        start[..shape.elements()].fill(START);
        start
    }
}

impl LinearIaf {
    /// L from the encoder's outputs [B, K M (M - 1) / 2 + logits].
    fn triangle(&self, given: Tensor<2>, size: usize) -> Triangle {
        let ([rows, _], each) = (given.dims(), self.matrices);
        let count = below_diagonal(size);
        let fused = is_fused(&given);
        let below = match each {
            1 => given,
            _ => {
                let logits = given.clone().narrow(1, each * count, each);
                let matrices = given.narrow(1, 0, each * count);
                match fused {
                    true => row_map(logits, matrices, RowMap::Mixture),
                    false => {
                        let weights = softmax(logits, 1).reshape([rows, each, 1]);
                        let matrices = matrices.reshape([rows, each, count]);
                        (matrices * weights).sum_dim(1).squeeze_dim(1)
                    }
                }
            }
        };
        match fused {
            true => Triangle::Rows(below),
            false => Triangle::Whole(whole(below, size)),
        }
    }
}

/// L [M, M, B] from its entries `below` the diagonal [B, M (M - 1) / 2], row by row. Rows of data are the last axis,
/// so that an entry of L is gathered for all of them at once.
fn whole(below: Tensor<2>, size: usize) -> Tensor<3> {
    let [rows, count] = below.dims();
    // each entry is one below the diagonal, or one of the two constants after them
    let below = below.transpose();
    let [zero, one] = [0.0, 1.0].map(|value| below.full_like(value).narrow(0, 0, 1));
    let numbers = Tensor::cat(vec![below, zero, one], 0);
    let places = (0..size).flat_map(|i| {
        (0..size).map(move |j| match j {
            _ if j < i => below_diagonal(i) + j,
            _ if j == i => count + 1,
            _ => count,
        })
    });
    let places = indices(places, &numbers.device());
    numbers.select(0, places).reshape([size, size, rows])
}

impl Weightless for LinearIaf {
    fn posterior(
        &self,
        shape: PointShape,
        means: Tensor<2>,
        others: Option<Tensor<2>>,
    ) -> Box<dyn Posterior> {
        let others = others.expect("more others than means");
        let ([_, count], size) = (others.dims(), shape.elements());
        Box::new(Correlated {
            base: Diagonal::of_rows(means, &others),
            triangle: self.triangle(others.narrow(1, size, count - size), size),
            shape,
        })
    }
}

/// L of each row.
enum Triangle {
    /// The entries below the diagonal [B, M (M - 1) / 2], on a CPU in f32.
    Rows(Tensor<2>),
    /// [M, M, B].
    Whole(Tensor<3>),
}

impl Triangle {
    /// L times each row of `z` [B, M].
    fn times(&self, z: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Rows(below) => row_map(z, below.clone(), RowMap::Triangle),
            Self::Whole(matrix) => product(matrix.clone(), z),
        }
    }

    /// L, squared elementwise, times each row of `z` [B, M].
    fn squared_times(&self, z: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Rows(below) => row_map(z, below.clone(), RowMap::SquaredTriangle),
            Self::Whole(matrix) => product(matrix.clone().square(), z),
        }
    }
}

/// Each of B matrices [M, M, B] times its row of `z` [B, M].
fn product(matrices: Tensor<3>, z: Tensor<2>) -> Tensor<2> {
    let products = matrices * z.transpose().unsqueeze_dim::<3>(0);
    products.sum_dim(1).squeeze_dim::<2>(1).transpose()
}

/// `N(L mean, L diag(variance) L^T)` per row.
struct Correlated {
    /// Distribution of z_0, [B, M].
    base: Diagonal,
    triangle: Triangle,
    shape: PointShape,
}

impl Posterior for Correlated {
    fn centre(&self) -> Tensor<2> {
        tokens(self.triangle.times(self.base.mean.clone()), self.shape)
    }

    fn draw(&self, rng: &mut Pcg64) -> Draw {
        let (start, base) = (self.base.sample(rng), self.base.clone());
        let latents = tokens(self.triangle.times(start.clone()), self.shape);
        Draw::new(latents, move || base.log_density_of(start.clone()))
    }

    /// That of z_0, since the determinant is 1.
    fn entropy(&self) -> Option<Tensor<2>> {
        self.base.entropy()
    }

    /// `(|L mean|^2 + sum_ij L_ij^2 variance_j - sum_j (log variance_j + 1)) / 2`.
    fn kl_to_normal(&self) -> Option<Tensor<2>> {
        let log_variance = self.base.log_variance.clone();
        let spread = self.triangle.squared_times(log_variance.clone().exp());
        let terms = self.triangle.times(self.base.mean.clone()).square() + spread;
        let terms = terms - log_variance - 1.0;
        Some(terms.sum_dim(1).mul_scalar(0.5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::{mean, standard_error};
    use crate::posteriors::kind::{Head as _, Plain};
    use crate::random::Streams;
    use crate::tensors::{from_f64, to_f64};
    use burn::tensor::{DType, Device};

    fn tensor(values: &[f64]) -> Tensor<2> {
        let dims = [1, values.len()];
        from_f64(values.to_vec(), dims, DType::F64, &Device::flex())
    }

    fn kl(matrices: usize, width: usize, means: &[f64], others: &[f64]) -> f64 {
        let shape = PointShape { tokens: 1, width };
        let head = Plain::new(&LinearIaf { matrices }, shape);
        let posterior = head.posterior(tensor(means), Some(tensor(others)));
        to_f64(posterior.kl_to_normal().unwrap()).unwrap()[0]
    }

    /// Against KL(N(m, C) || N(0, I)) = (|m|^2 + tr C - D - ln |C|) / 2. Fails if L is transposed, or its rows are
    /// out of order.
    #[test]
    fn the_covariance_is_l_times_the_variances_times_its_transpose() {
        let (log_variance, l) = ([0.3, -0.4, 0.1], [0.5, -1.2, 0.7]);
        let matrix = nalgebra::Matrix3::new(1.0, 0.0, 0.0, l[0], 1.0, 0.0, l[1], l[2], 1.0);
        let variance = nalgebra::Vector3::from(log_variance.map(f64::exp));
        let covariance = matrix * nalgebra::Matrix3::from_diagonal(&variance) * matrix.transpose();
        let mean = matrix * nalgebra::Vector3::new(0.2, -0.6, 0.9);
        let terms = mean.norm_squared() + covariance.trace() - 3.0;
        let expected = 0.5 * (terms - covariance.determinant().ln());
        let others = [log_variance, l].concat();
        let found = kl(1, 3, &[0.2, -0.6, 0.9], &others);
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }

    /// A correlated Gaussian: every diagonal one has a divergence of at least `-ln(1 - rho^2) / 2` from it, this
    /// kind reaches it.
    #[test]
    fn it_is_a_correlated_gaussian_that_no_diagonal_one_is() {
        let rho = 0.9f64;
        let entropy_of = |log_variances: [f64; 2]| {
            let shape = PointShape {
                tokens: 1,
                width: 2,
            };
            let others = [&log_variances[..], &[rho]].concat();
            let head = Plain::new(&LinearIaf::default(), shape);
            let posterior = head.posterior(tensor(&[0.0, 0.0]), Some(tensor(&others)));
            to_f64(posterior.entropy().unwrap()).unwrap()[0]
        };
        // variances 1 and 1 - rho^2, L_21 = rho: marginals of variance 1, correlated by rho
        let found = entropy_of([0.0, (1.0 - rho * rho).ln()]);
        let independent = (std::f64::consts::TAU * std::f64::consts::E).ln();
        assert!((independent - found - 0.830_365).abs() < 1e-5, "{found}");
        let others = [0.0, (1.0 - rho * rho).ln(), rho];
        // with unit variances, the divergence from N(0, I) is the entropy lost by correlation
        assert!((kl(1, 2, &[0.0, 0.0], &others) - 0.830_365).abs() < 1e-5);
    }

    /// The covariance of draws is `L diag(variance) L^T`. Fails if a draw is multiplied by another matrix than in
    /// the closed forms.
    #[test]
    fn draws_have_the_covariance() {
        const DRAWS: usize = 20_000;
        let shape = PointShape {
            tokens: 1,
            width: 2,
        };
        let (log_variance, l) = ([0.4f64, -0.7], 1.3);
        let others = [log_variance[0], log_variance[1], l].repeat(DRAWS);
        let rows = |values: Vec<f64>| {
            let dims = [DRAWS, values.len() / DRAWS];
            from_f64::<2>(values, dims, DType::F64, &Device::flex())
        };
        let head = Plain::new(&LinearIaf::default(), shape);
        let posterior = head.posterior(rows(vec![0.0; 2 * DRAWS]), Some(rows(others)));
        let draw = posterior.draw(&mut Streams::new(1).at("draws", 0));
        let z = to_f64(draw.latents).unwrap();
        let [a, b] = log_variance.map(f64::exp);
        let expected = [a, l * a, l * l * a + b];
        for (pair, expected) in [(0, 0), (0, 1), (1, 1)].into_iter().zip(expected) {
            let products: Vec<f64> = z.chunks(2).map(|z| z[pair.0] * z[pair.1]).collect();
            let (found, error) = (mean(&products), standard_error(&products, 1));
            assert!(
                (found - expected).abs() < 4.0 * error,
                "{pair:?}: {found} {expected}"
            );
        }
    }

    #[test]
    fn of_equal_matrices_the_combination_does_not_matter() {
        let (means, log_variance, l) = ([0.4, -0.2], [0.3, -0.5], [0.8]);
        let one = kl(1, 2, &means, &[&log_variance[..], &l].concat());
        for logits in [[0.0, 0.0], [3.0, -1.0]] {
            let others = [&log_variance[..], &l, &l, &logits].concat();
            let two = kl(2, 2, &means, &others);
            assert!((one - two).abs() < 1e-12, "{one} {two}");
        }
    }
}
