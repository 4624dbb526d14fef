//! The alignment loss of individual points, accurate enough to compare with likelihoods.

use super::loss::weighted_error;
use super::noise_rule::{FEWEST_NODES, NodeNoise, layout, noise_rule};
use super::weighting::{Node, Weighted};
use crate::error::{Error, Result};
use crate::numerics::{mean, standard_error, student};
use crate::priors::{ROWS_PER_EVALUATION, VelocityField};
use crate::problems::Problems;
use crate::random::Streams;
use crate::tensors::{from_f64, to_f64};
use burn::tensor::Tensor;
use rand::RngExt;

/// Number of independent rules among the draws. Standard errors come from their spread; with so few, a 95 %
/// interval is [`Draws::quantile`] standard errors wide to each side, not 2.
pub const RULES: usize = 8;
/// With fewer draws, a rule has too few nodes in time.
const FEWEST_DRAWS: usize = RULES * FEWEST_NODES * 3;

/// Reports a number of `draws` of [`Draws`] that is out of range.
pub fn check_draws(problems: &mut Problems, draws: usize) {
    problems.require(
        (FEWEST_DRAWS..=1 << 20).contains(&draws),
        "draws",
        draws,
        "192 to 1048576: 8 independent rules of 8 times with 3 draws each, or more",
    );
}

/// The alignment loss of each point, *summed* over dimensions; under the likelihood weighting it is the NLL in
/// nats.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimates {
    /// One per point: the mean over the rules.
    pub values: Vec<f64>,
    /// Standard error of each value due to the draws, from the spread of the rules.
    pub errors: Vec<f64>,
    /// Standard error of the mean of `values` due to the draws alone, which all points share.
    pub mean_error: f64,
    /// The value of each point by each of the [`RULES`], [rules, n].
    pub rules: Vec<Vec<f64>>,
}

impl Estimates {
    /// From the values of each point by several independent rules, [rules, n].
    fn of_rules(rules: Vec<Vec<f64>>) -> Self {
        let of_point = |point: usize| rules.iter().map(move |rule| rule[point]);
        let points = 0..rules[0].len();
        let errors = points
            .clone()
            .map(|p| standard_error(&collect(of_point(p)), 1));
        let means: Vec<f64> = rules.iter().map(|rule| mean(rule)).collect();
        Self {
            values: points.map(|p| mean(&collect(of_point(p)))).collect(),
            errors: errors.collect(),
            mean_error: standard_error(&means, 1),
            rules,
        }
    }
}

fn collect(values: impl Iterator<Item = f64>) -> Vec<f64> {
    values.collect()
}

/// The draws, shared by all points: [`RULES`] rules, each with systematic nodes in time with a random offset, and
/// the noise of each node. Shared draws rank points better than independent ones, because common errors cancel.
pub struct Draws {
    weighted: Weighted,
    /// The nodes of all rules, one rule after another.
    nodes: Vec<Node>,
    /// Control variate at each node, per dimension.
    controls: Vec<f64>,
    noise: Vec<NodeNoise>,
    /// Nodes per rule.
    nodes_of_rule: usize,
    width: usize,
    each: usize,
}

impl Draws {
    /// At most `count` (t, noise) draws for points of `width` dimensions; at least the minimum of [`check_draws`].
    pub fn new(weighted: Weighted, count: usize, width: usize, streams: Streams) -> Self {
        let (nodes_of_rule, directions) = layout(count / RULES, width);
        let (mut nodes, mut controls, mut noise) = (Vec::new(), Vec::new(), Vec::new());
        for rule in 0..RULES {
            let mut rng = streams.at("alignment loss", rule as u64);
            let offset: f64 = rng.random();
            for i in 0..nodes_of_rule {
                let share = (i as f64 + offset) / nodes_of_rule as f64;
                let (node, control) = weighted.rule_node(share);
                nodes.push(node);
                controls.push(control);
            }
            noise.extend(noise_rule(&mut rng, nodes_of_rule, directions, width));
        }
        Self {
            weighted,
            nodes,
            controls,
            noise,
            nodes_of_rule,
            width,
            each: 2 * directions + 1,
        }
    }

    /// Half-width of a 95 % interval in standard errors of the draws: Student's t with [`RULES`] - 1 degrees of
    /// freedom.
    pub fn quantile() -> f64 {
        student(RULES as f64 - 1.0)
    }

    /// Number of velocity evaluations per point.
    pub fn count(&self) -> usize {
        self.nodes.len() * self.each
    }

    /// The loss of each of `points` [n, d]. `check` is called regularly; an error from it stops the computation.
    ///
    /// # Errors
    /// Errors of `check`; a numerical error that names the first point with a loss that is not finite; device
    /// errors.
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
        let offset = d as f64 * (self.weighted.control_mean() + self.weighted.constant());
        let rules = (0..RULES).map(|rule| {
            let of_rule = rule * self.nodes_of_rule..(rule + 1) * self.nodes_of_rule;
            let mut values = vec![offset; n];
            for node in of_rule {
                let control = d as f64 * self.controls[node];
                for (value, error) in values.iter_mut().zip(&errors[node * n..]) {
                    *value += (error - control) / self.nodes_of_rule as f64;
                }
            }
            values
        });
        let found = Estimates::of_rules(rules.collect());
        if let Some(point) = found.values.iter().position(|value| !value.is_finite()) {
            return Err(Error::Numerical(format!(
                "the alignment loss of point {point} is not finite ({} weighting)",
                self.weighted.weighting
            )));
        }
        Ok(found)
    }

    /// The gradient [n, d] of each point's loss with respect to the point, by each of the [`RULES`], on the host;
    /// the gradient of the loss is their mean. `field` and `points` are on a device with autodiff.
    ///
    /// # Errors
    /// Errors of `check`; device errors.
    pub fn gradients(
        &self,
        field: &dyn VelocityField,
        points: Tensor<2>,
        mut check: impl FnMut() -> Result<()>,
    ) -> Result<Vec<Vec<f64>>> {
        let nodes = self.nodes_of_rule;
        let mut gradients = vec![Vec::new(); RULES];
        for (_, chunk) in self.chunks(&points) {
            let [count, width] = chunk.dims();
            let at_once = (ROWS_PER_EVALUATION / (self.each * count)).max(1);
            for (rule, gradient) in gradients.iter_mut().enumerate() {
                let start = gradient.len();
                gradient.resize(start + count * width, 0.0);
                let (from, to) = (rule * nodes, (rule + 1) * nodes);
                for first in (from..to).step_by(at_once) {
                    check()?;
                    let last = (first + at_once).min(to);
                    let y = chunk.clone().detach().require_grad();
                    let loss = self.errors(field, y.clone(), first..last).sum();
                    let found = y.grad(&loss.backward()).expect("the loss depends on y");
                    for (total, g) in gradient[start..].iter_mut().zip(to_f64(found)?) {
                        *total += g / nodes as f64;
                    }
                }
            }
        }
        Ok(gradients)
    }

    /// Splits points [n, d] into chunks such that a node's draws fill one evaluation; yields each chunk with its
    /// first index.
    fn chunks(&self, points: &Tensor<2>) -> impl Iterator<Item = (usize, Tensor<2>)> {
        let [n, _] = points.dims();
        let size = (ROWS_PER_EVALUATION / self.each).max(1);
        (0..n)
            .step_by(size)
            .map(move |start| (start, points.clone().narrow(0, start, size.min(n - start))))
    }

    /// The weighted squared error at some nodes, averaged over noise [nodes, n].
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alignment::Weighting;
    use crate::alignment::known_targets::{analytic_nll, ring, samples, uneven};
    use crate::likelihood::{Agreement, agreement};
    use crate::priors::ExactMixture;
    use crate::targets::GaussianMixture;
    use crate::tensors::from_f32;
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
            // a Gaussian's error is quadratic in the noise: the rule is exact up to the integral over time
            assert!(uniform.errors[row] < 1e-2, "{}", uniform.errors[row]);
            let nll = (0..3)
                .map(|i| 0.5 * (2.0 * PI).ln() + s[i].ln() + 0.5 * z2(i) / s[i])
                .sum::<f64>();
            let found = likelihood.values[row];
            assert!((found - nll).abs() < 2e-3, "{found} {nll}");
        }
    }

    /// How well the loss with the exact velocity of `mixture` agrees with its analytic NLL on samples, with at most
    /// 1,024 draws per point, for several seeds of the draws.
    fn against_analytic(
        mixture: &GaussianMixture,
        n: usize,
        weighting: Weighting,
    ) -> Vec<(Agreement, Estimates)> {
        let (device, d) = (Device::flex(), mixture.width());
        let rows = samples(mixture, n, Streams::new(7));
        let nll = analytic_nll(mixture, &rows);
        let field = ExactMixture::new(mixture, DType::F32, &device);
        let points = from_f32(rows, [n, d], &device);
        (0..3)
            .map(|seed| {
                let draws = Draws::new(Weighted::new(weighting), 1024, d, Streams::new(seed));
                assert!(draws.count() <= 1024);
                let found = draws.estimate(&field, points.clone(), || Ok(())).unwrap();
                let agreement = agreement(&found.rules, &nll, 1, Streams::new(0));
                (agreement, found)
            })
            .collect()
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
            let mixture = uneven(d);
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
        let by_rule = draws.gradients(&field, points(&y), || Ok(())).unwrap();
        let found: Vec<f64> = (0..4)
            .map(|i| by_rule.iter().map(|g| g[i]).sum::<f64>() / RULES as f64)
            .collect();
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
