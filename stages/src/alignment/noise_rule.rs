//! Noise for expectations over N(0, I), shared by all points: the stochastic spherical-radial rule of
//! degree 3 (Genz & Monahan 1998), made quasi-random over nodes.
//!
//! A node has a random rotation Q and a radius rho, rho^2 ~ chi^2 with d + 2 degrees of freedom:
//!
//! ```text
//! E f(noise) = E [ (1 - d / rho^2) f(0) + (d / k) sum_{j <= k} (f(rho q_j) + f(-rho q_j)) / (2 rho^2) ]
//! ```
//!
//! It is unbiased, antithetic, and with k = d exact for every polynomial of degree 3. In particular, the
//! fluctuation of `|noise|^2`, which dominates the error of plain draws, vanishes. Radii and first
//! directions follow a Kronecker sequence with a random shift, so that neighbouring nodes complement
//! each other.

use crate::random::normal;
use nalgebra::DMatrix;
use rand::RngExt;
use rand_pcg::Pcg64;
use statrs::distribution::{ChiSquared, ContinuousCDF};
use std::f64::consts::TAU;

/// The noise of a node.
#[derive(Debug, Clone)]
pub struct NodeNoise {
    /// Draws [2 k + 1, d]; the first is zero.
    pub draws: Vec<f64>,
    /// Weights of the draws; they sum to 1.
    pub weights: Vec<f64>,
}

/// Number of nodes, and directions k per node, for at most `draws` draws of width d: all directions if
/// that leaves enough nodes.
pub fn layout(draws: usize, width: usize) -> (usize, usize) {
    let directions = width
        .min((draws / FEWEST_NODES).saturating_sub(1) / 2)
        .max(1);
    let nodes = (draws / (2 * directions + 1)).max(FEWEST_NODES);
    (nodes, directions)
}

/// Minimum number of nodes to resolve the integral over time.
pub const FEWEST_NODES: usize = 8;

/// The noise of `nodes` nodes with `directions` directions each, in `width` dimensions.
pub fn noise_rule(
    rng: &mut Pcg64,
    nodes: usize,
    directions: usize,
    width: usize,
) -> Vec<NodeNoise> {
    let squares = ChiSquared::new(width as f64 + 2.0).expect("positive degrees of freedom");
    let pairs = width.div_ceil(2);
    let mut sequence = Kronecker::new(2 * pairs + 1, rng);
    (0..nodes)
        .map(|_| {
            let point = sequence.next();
            let square = squares.inverse_cdf(point[2 * pairs].clamp(1e-12, 1.0 - 1e-12));
            let mut first: Vec<f64> = (0..pairs)
                .flat_map(|p| box_muller(point[2 * p], point[2 * p + 1]))
                .collect();
            first.truncate(width);
            let directions = orthonormal(first, directions, rng);
            let along = width as f64 / directions.len() as f64 / (2.0 * square);
            let mut rule = NodeNoise {
                draws: vec![0.0; width],
                weights: vec![1.0 - width as f64 / square],
            };
            for direction in directions {
                for sign in [1.0, -1.0] {
                    let length = sign * square.sqrt();
                    rule.draws.extend(direction.iter().map(|q| length * q));
                    rule.weights.push(along);
                }
            }
            rule
        })
        .collect()
}

/// `count` orthonormal vectors, the first along `first`, the others uniformly random.
fn orthonormal(first: Vec<f64>, count: usize, rng: &mut Pcg64) -> Vec<Vec<f64>> {
    let width = first.len();
    let mut columns = first;
    columns.extend(normal(rng, (count - 1) * width).into_iter().map(f64::from));
    let q = DMatrix::from_vec(width, count, columns).qr().q();
    q.column_iter()
        .map(|c| c.iter().copied().collect())
        .collect()
}

/// Two standard normal numbers from two uniform ones.
fn box_muller(u: f64, v: f64) -> [f64; 2] {
    let radius = (-2.0 * (1.0 - u).ln()).sqrt();
    let (sin, cos) = (TAU * v).sin_cos();
    [radius * cos, radius * sin]
}

/// Multiples of powers of the generalised golden ratio modulo 1, from a random start: an additive
/// recurrence with low discrepancy.
struct Kronecker {
    point: Vec<f64>,
    step: Vec<f64>,
}

impl Kronecker {
    fn new(dimensions: usize, rng: &mut Pcg64) -> Self {
        // the root above 1 of x^(D + 1) = x + 1
        let mut ratio = 2.0f64;
        for _ in 0..64 {
            ratio = (1.0 + ratio).powf(1.0 / (dimensions as f64 + 1.0));
        }
        Self {
            point: (0..dimensions).map(|_| rng.random()).collect(),
            step: (1..=dimensions).map(|i| ratio.powi(-(i as i32))).collect(),
        }
    }

    fn next(&mut self) -> &[f64] {
        for (x, step) in self.point.iter_mut().zip(&self.step) {
            *x = (*x + step).fract();
        }
        &self.point
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    /// The rule's estimate of E f(noise), per node.
    fn values(rule: &[NodeNoise], width: usize, f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
        rule.iter()
            .map(|node| {
                let draws = node.draws.chunks(width);
                draws.zip(&node.weights).map(|(z, w)| w * f(z)).sum()
            })
            .collect()
    }

    #[test]
    fn every_node_integrates_cubics_exactly() {
        for width in [1, 2, 5, 16] {
            let rule = noise_rule(&mut Streams::new(1).at("rule", 0), 20, width, width);
            let f = |z: &[f64]| 3.0 + z[0] - 2.0 * z[width - 1] * z[0] + z[0].powi(3) + z[0] * z[0];
            // E z0^2 = 1; in one dimension z_last z_0 = z0^2
            let expected = if width == 1 { 3.0 - 2.0 + 1.0 } else { 4.0 };
            for value in values(&rule, width, f) {
                assert!((value - expected).abs() < 1e-9, "{width}: {value}");
            }
        }
    }

    #[test]
    fn the_mean_over_nodes_is_unbiased_beyond_cubics() {
        for (width, directions) in [(2, 2), (6, 6), (6, 2)] {
            let mut rng = Streams::new(2).at("rule", 0);
            let rule = noise_rule(&mut rng, 4000, directions, width);
            // E cos(a z0) = exp(-a^2 / 2)
            let found = values(&rule, width, |z| (1.5 * z[0]).cos());
            let mean = found.iter().sum::<f64>() / found.len() as f64;
            let expected = (-1.125f64).exp();
            assert!((mean - expected).abs() < 0.01, "{width}: {mean} {expected}");
        }
    }

    #[test]
    fn the_budget_of_draws_is_kept() {
        for (draws, width) in [(1024, 2), (1024, 16), (1024, 64), (1024, 512), (256, 3)] {
            let (nodes, directions) = layout(draws, width);
            assert!(nodes * (2 * directions + 1) <= draws);
            assert!(nodes >= FEWEST_NODES && directions <= width);
        }
        assert_eq!(layout(1024, 2), (204, 2));
    }
}
