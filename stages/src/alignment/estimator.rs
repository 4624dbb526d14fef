//! The alignment loss of single points, precise enough to be compared with likelihoods.

use super::loss::weighted_error;
use super::noise_rule::{NodeNoise, layout, noise_rule};
use super::weighting::{Node, Weighted};
use crate::error::{Error, Result};
use crate::flows::{ROWS_PER_EVALUATION, VelocityField};
use crate::tensors::{from_f64, to_f64};
use crate::training::Streams;
use burn::tensor::Tensor;
use nalgebra::{DMatrix, DVector};
use rand::RngExt;

/// The alignment loss of each point, *summed* over dimensions; under the likelihood weighting the
/// NLL in nats.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimates {
    /// One a point.
    pub values: Vec<f64>,
    /// The standard error of each, from the chance of the draws.
    pub errors: Vec<f64>,
    /// The standard error of the mean of `values`, from the chance of the draws alone: all points
    /// share them.
    pub mean_error: f64,
}

/// The draws that all points share: nodes in time, systematic with one random offset, and the noise
/// of each. Shared draws rank points better than independent ones: what is common to all cancels.
pub struct Draws {
    weighted: Weighted,
    nodes: Vec<Node>,
    noise: Vec<NodeNoise>,
    chance: Chance,
    width: usize,
    each: usize,
}

impl Draws {
    /// At most `count` (t, noise) draws for points of `width` dimensions.
    pub fn new(weighted: Weighted, count: usize, width: usize, streams: Streams) -> Self {
        let (nodes, directions) = layout(count, width);
        let mut rng = streams.at("alignment loss", 0);
        let offset: f64 = rng.random();
        let shares: Vec<f64> = (0..nodes)
            .map(|i| (i as f64 + offset) / nodes as f64)
            .collect();
        Self {
            weighted,
            nodes: shares.iter().map(|&u| weighted.node(u)).collect(),
            noise: noise_rule(&mut rng, nodes, directions, width),
            chance: Chance::new(weighted, &shares),
            width,
            each: 2 * directions + 1,
        }
    }

    /// Evaluations of the velocity a point.
    pub fn count(&self) -> usize {
        self.nodes.len() * self.each
    }

    /// The loss of each of `points` [n, d]. `check` is called now and then; an error from it stops.
    pub fn estimate(
        &self,
        field: &dyn VelocityField,
        points: Tensor<2>,
        mut check: impl FnMut() -> Result<()>,
    ) -> Result<Estimates> {
        let [n, d] = points.dims();
        let nodes = self.nodes.len();
        let mut errors = vec![0.0; nodes * n]; // [nodes, n]
        for (start, chunk) in self.chunks(&points) {
            let [count, _] = chunk.dims();
            let at_once = (ROWS_PER_EVALUATION / (self.each * count)).max(1);
            for first in (0..nodes).step_by(at_once) {
                check()?;
                let last = (first + at_once).min(nodes);
                let found = to_f64(self.errors(field, chunk.clone(), first..last))?;
                for (node, row) in (first..last).zip(found.chunks(count)) {
                    errors[node * n + start..][..count].copy_from_slice(row);
                }
            }
        }
        let controls: Vec<f64> = (self.nodes.iter())
            .map(|node| d as f64 * self.weighted.control(node.time))
            .collect();
        let offset = d as f64 * (self.weighted.control_mean() + self.weighted.constant());
        let (mut values, mut standard_errors) = (Vec::with_capacity(n), Vec::with_capacity(n));
        let mut of_mean = vec![0.0; nodes];
        for point in 0..n {
            let along: Vec<f64> = (0..nodes)
                .map(|node| errors[node * n + point] - controls[node])
                .collect();
            for (total, value) in of_mean.iter_mut().zip(&along) {
                *total += value / n as f64;
            }
            values.push(along.iter().sum::<f64>() / nodes as f64 + offset);
            standard_errors.push(self.chance.of_mean(&along));
        }
        if let Some(point) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::Numerical(format!(
                "the alignment loss of point {point} is not finite ({} weighting)",
                self.weighted.weighting
            )));
        }
        Ok(Estimates {
            values,
            errors: standard_errors,
            mean_error: self.chance.of_mean(&of_mean),
        })
    }

    /// The gradient [n, d] of each point's loss with respect to the point, on the host. `field` and
    /// `points` are on a device with autodiff.
    pub fn gradient(
        &self,
        field: &dyn VelocityField,
        points: Tensor<2>,
        mut check: impl FnMut() -> Result<()>,
    ) -> Result<Vec<f64>> {
        let nodes = self.nodes.len();
        let mut gradients = Vec::with_capacity(points.dims().iter().product());
        for (_, chunk) in self.chunks(&points) {
            let [count, width] = chunk.dims();
            let mut total = vec![0.0; count * width];
            let at_once = (ROWS_PER_EVALUATION / (self.each * count)).max(1);
            for first in (0..nodes).step_by(at_once) {
                check()?;
                let last = (first + at_once).min(nodes);
                let y = chunk.clone().detach().require_grad();
                let loss = self.errors(field, y.clone(), first..last).sum();
                let gradient = y.grad(&loss.backward()).expect("the loss depends on y");
                for (total, g) in total.iter_mut().zip(to_f64(gradient)?) {
                    *total += g / nodes as f64;
                }
            }
            gradients.extend(total);
        }
        Ok(gradients)
    }

    /// Points [n, d] in chunks that one node's draws fill an evaluation with, and where each starts.
    fn chunks(&self, points: &Tensor<2>) -> impl Iterator<Item = (usize, Tensor<2>)> {
        let [n, _] = points.dims();
        let size = (ROWS_PER_EVALUATION / self.each).max(1);
        (0..n)
            .step_by(size)
            .map(move |start| (start, points.clone().narrow(0, start, size.min(n - start))))
    }

    /// The weighted squared error at some nodes, its expectation over noise taken [nodes, n].
    fn errors(
        &self,
        field: &dyn VelocityField,
        y: Tensor<2>,
        nodes: std::ops::Range<usize>,
    ) -> Tensor<2> {
        let ([n, d], k, each) = (y.dims(), nodes.len(), self.each);
        let (dtype, device) = (y.dtype(), y.device());
        let noise = &self.noise[nodes.clone()];
        let draws = noise.iter().flat_map(|n| n.draws.iter().copied()).collect();
        let weights = noise.iter().flat_map(|n| n.weights.iter().copied());
        let weights: Tensor<3> = from_f64(weights.collect(), [k, each, 1], dtype, &device);
        let draws: Tensor<4> = from_f64(draws, [k, each, 1, self.width], dtype, &device);
        let draws = draws.repeat_dim(2, n).reshape([k, each * n, d]);
        let y = y.unsqueeze::<3>().repeat_dim(0, k).repeat_dim(1, each);
        let error = weighted_error(field, y, draws, &self.nodes[nodes]); // [k, each * n, d]
        let error = error.sum_dim(2).reshape([k, each, n]);
        (error * weights).sum_dim(1).squeeze_dim(1)
    }
}

/// The standard error of the mean over nodes: from what is left of them beside smooth curves.
struct Chance {
    /// An orthonormal basis of those curves [nodes, q].
    smooth: DMatrix<f64>,
}

impl Chance {
    fn new(weighted: Weighted, shares: &[f64]) -> Self {
        let nodes = shares.len();
        let curves: Vec<[f64; 8]> = shares.iter().map(|&u| weighted.trends(u)).collect();
        let count = (nodes / 2).min(curves[0].len());
        let curves = DMatrix::from_fn(nodes, count, |i, j| curves[i][j]);
        Self {
            smooth: curves.qr().q(),
        }
    }

    /// Of the mean of `values`, one a node. What the even spacing of the nodes gains is not counted.
    fn of_mean(&self, values: &[f64]) -> f64 {
        let values = DVector::from_column_slice(values);
        let along = self.smooth.tr_mul(&values);
        let squares = (values.norm_squared() - along.norm_squared()).max(0.0);
        let (nodes, curves) = self.smooth.shape();
        (squares / (nodes - curves) as f64 / nodes as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alignment::Weighting;
    use crate::features::GaussianMixture;
    use crate::flows::ExactMixture;
    use crate::likelihood::{Agreement, agreement, mean};
    use crate::tensors::from_f32;
    use crate::training::normal;
    use burn::tensor::{DType, Device};
    use std::f64::consts::PI;

    #[test]
    fn exact_gaussian_velocity_gives_the_closed_form() {
        let device = Device::flex();
        let (mu, s) = ([0.5, -1.0, 2.0], [1.0, 0.3, 2.0]);
        let mut covariance = vec![0.0; 9];
        for i in 0..3 {
            covariance[4 * i] = s[i] * s[i];
        }
        let mixture = GaussianMixture {
            weights: vec![1.0],
            means: vec![mu.to_vec()],
            covariances: vec![covariance],
        };
        let field = ExactMixture::new(&mixture, DType::F64, &device);
        let y = [0.5, -1.0, 2.0, 1.5, -0.5, 0.0, -2.0, 0.0, 3.0];
        let points: Tensor<2> = from_f64(y.to_vec(), [3, 3], DType::F64, &device);
        let estimate = |weighting| {
            let draws = Draws::new(Weighted::new(weighting), 4096, 3, Streams::new(1));
            draws.estimate(&field, points.clone(), || Ok(())).unwrap()
        };
        let (uniform, likelihood) = (
            estimate(Weighting::Uniform),
            estimate(Weighting::Likelihood),
        );
        for row in 0..3 {
            let z2 = |i: usize| (y[3 * row + i] - mu[i]).powi(2) / s[i];
            let loss = (0..3).map(|i| s[i] + z2(i)).sum::<f64>() * PI / 4.0;
            let found = uniform.values[row];
            assert!((found / loss - 1.0).abs() < 1e-3, "{found} {loss}");
            // a Gaussian's error is quadratic in the noise: the rule leaves the time alone
            assert!(uniform.errors[row] < 1e-2, "{}", uniform.errors[row]);
            let nll = (0..3)
                .map(|i| 0.5 * (2.0 * PI).ln() + s[i].ln() + 0.5 * z2(i) / s[i])
                .sum::<f64>();
            let found = likelihood.values[row];
            assert!((found - nll).abs() < 2e-3, "{found} {nll}");
        }
    }

    /// Samples [n, d] of a mixture whose components have independent dimensions.
    fn samples(mixture: &GaussianMixture, n: usize) -> Vec<f32> {
        let d = mixture.width();
        let mut rng = Streams::new(7).at("samples", 0);
        (0..n)
            .flat_map(|_| {
                let k = rng.random_range(0..mixture.weights.len());
                let z = normal(&mut rng, d);
                (0..d)
                    .map(|i| {
                        let scale = mixture.covariances[k][i * d + i].sqrt();
                        (mixture.means[k][i] + scale * f64::from(z[i])) as f32
                    })
                    .collect::<Vec<f32>>()
            })
            .collect()
    }

    /// How the loss with the exact velocity of `mixture` follows its analytic NLL on samples, with at
    /// most 1,024 draws a point, for several draws of the draws.
    fn against_analytic(
        mixture: &GaussianMixture,
        n: usize,
        weighting: Weighting,
    ) -> Vec<(Agreement, Estimates)> {
        let (device, d) = (Device::flex(), mixture.width());
        let rows = samples(mixture, n);
        let density = mixture.density().unwrap();
        let nll: Vec<f64> = (rows.chunks(d))
            .map(|row| {
                let wide: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
                -density.log_density(&wide)
            })
            .collect();
        let field = ExactMixture::new(mixture, DType::F32, &device);
        let points = from_f32(rows, [n, d], &device);
        (0..3)
            .map(|seed| {
                let draws = Draws::new(Weighted::new(weighting), 1024, d, Streams::new(seed));
                assert!(draws.count() <= 1024);
                let found = draws.estimate(&field, points.clone(), || Ok(())).unwrap();
                let agreement = agreement(&found.values, &nll, 1, 100, Streams::new(0));
                (agreement, found)
            })
            .collect()
    }

    /// Five Gaussians of standard deviation 0.3 on a ring of radius 3, divided by the global scale.
    fn ring() -> GaussianMixture {
        let scale = (0.5f64 * 9.0 + 0.09).sqrt();
        let angle = |k: usize| 2.0 * PI * k as f64 / 5.0;
        let variance = 0.09 / scale / scale;
        GaussianMixture {
            weights: vec![0.2; 5],
            means: (0..5)
                .map(|k| vec![3.0 * angle(k).cos() / scale, 3.0 * angle(k).sin() / scale])
                .collect(),
            covariances: vec![vec![variance, 0.0, 0.0, variance]; 5],
        }
    }

    #[test]
    fn the_likelihood_weighting_gives_the_rings_nll_and_the_uniform_does_not() {
        for (a, found) in against_analytic(&ring(), 1000, Weighting::Likelihood) {
            assert!(a.spearman.value >= 0.99, "{a:?}");
            assert!(a.bias.value.abs() <= 0.1 && a.rmse.value <= 0.15, "{a:?}");
            let told = mean(&found.errors);
            let spread = (a.rmse.value.powi(2) - a.bias.value.powi(2)).sqrt();
            assert!((0.7..8.0).contains(&(told / spread)), "{told} {spread}");
            assert!(a.bias.value.abs() < 4.0 * found.mean_error, "{a:?}");
        }
        for (a, _) in against_analytic(&ring(), 1000, Weighting::Uniform) {
            assert!((0.4..0.85).contains(&a.spearman.value), "{a:?}");
        }
    }

    #[test]
    fn the_likelihood_weighting_gives_nats_in_16_and_64_dimensions() {
        for (d, n) in [(16, 300), (64, 150)] {
            let mut rng = Streams::new(3).at("mixture", d as u64);
            let covariance = |rng: &mut rand_pcg::Pcg64| {
                let mut c = vec![0.0; d * d];
                for i in 0..d {
                    // scales from 0.2 to 1
                    c[i * d + i] = 0.04f64.powf(rng.random::<f64>());
                }
                c
            };
            let mixture = GaussianMixture {
                weights: vec![0.2; 5],
                means: (0..5)
                    .map(|_| normal(&mut rng, d).into_iter().map(f64::from).collect())
                    .collect(),
                covariances: (0..5).map(|_| covariance(&mut rng)).collect(),
            };
            for (a, found) in against_analytic(&mixture, n, Weighting::Likelihood) {
                assert!(a.spearman.value >= 0.99, "{d}: {a:?}");
                assert!(a.rmse.value < 3.0 * mean(&found.errors), "{d}: {a:?}");
                assert!(
                    mean(&found.errors) < 0.05 * d as f64,
                    "{d}: {:?}",
                    found.mean_error
                );
                assert!((a.slope.value - 1.0).abs() <= 0.03, "{d}: {a:?}");
                assert!(a.bias.value.abs() <= 0.01 * d as f64, "{d}: {a:?}");
            }
        }
    }

    #[test]
    fn gradients_are_those_of_the_estimate() {
        let device = Device::flex().autodiff();
        let field = ExactMixture::new(&ring(), DType::F64, &device);
        let draws = Draws::new(
            Weighted::new(Weighting::Likelihood),
            256,
            2,
            Streams::new(1),
        );
        let y = [0.4, 1.1, -0.9, 0.2];
        let points = |y: &[f64]| from_f64::<2>(y.to_vec(), [2, 2], DType::F64, &device);
        let found = draws.gradient(&field, points(&y), || Ok(())).unwrap();
        for i in 0..4 {
            let at = |h: f64| {
                let mut y = y;
                y[i] += h;
                let found = draws.estimate(&field, points(&y), || Ok(())).unwrap();
                found.values[i / 2]
            };
            let difference = (at(1e-4) - at(-1e-4)) / 2e-4;
            let error = (found[i] - difference).abs() / difference.abs().max(1.0);
            assert!(error < 1e-4, "{} {difference}", found[i]);
        }
    }
}
