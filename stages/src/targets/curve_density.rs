//! Distributions along a plane curve, blurred by Gaussian noise.
//!
//! p(x) = ∫_0^1 N(x; c(s), noise^2 I) ds for a curve c, a sum over arcs if there are several. The
//! integrand is smooth on the scale of the noise, so composite Gauss-Legendre quadrature with panels
//! of half the noise's length converges to rounding error: the result is exact, not an estimate.

use super::gaussian_mixture::log_sum_exp;
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;
use statrs::function::erf::{erf, erfc};
use std::f64::consts::{PI, SQRT_2};

/// Quadrature points per panel.
const ORDER: usize = 10;

/// Length of a panel in units of the noise.
const PANEL: f64 = 0.5;

/// A part of a curve, parametrised by s uniform on [0, 1].
pub(super) struct Arc {
    /// Probability of this arc.
    pub(super) weight: f64,
    /// c(s).
    pub(super) at: Box<dyn Fn(f64) -> [f64; 2] + Send + Sync>,
}

/// A curve, its noise, and optionally a third dimension uniform on [-height / 2, height / 2] before
/// the noise.
pub(super) struct Curve {
    pub(super) arcs: Vec<Arc>,
    pub(super) noise: f64,
    pub(super) height: Option<f64>,
}

impl Curve {
    /// Appends one sample to `out`.
    pub(super) fn sample_into(&self, rng: &mut (impl Rng + ?Sized), out: &mut Vec<f32>) {
        let mut left: f64 = rng.random();
        let mut arc = &self.arcs[self.arcs.len() - 1];
        for candidate in &self.arcs {
            left -= candidate.weight;
            if left < 0.0 {
                arc = candidate;
                break;
            }
        }
        let [x, y] = (arc.at)(rng.random());
        let mut blur = |v: f64| (v + self.noise * rng.sample::<f64, _>(StandardNormal)) as f32;
        out.extend([blur(x), blur(y)]);
        if let Some(height) = self.height {
            let z = height * (rng.random::<f64>() - 0.5);
            out.push((z + self.noise * rng.sample::<f64, _>(StandardNormal)) as f32);
        }
    }

    /// The density with precomputed quadrature nodes.
    pub(super) fn density(&self) -> CurveDensity {
        let (points, weights) = gauss_legendre(ORDER);
        let mut nodes = Vec::new();
        for arc in &self.arcs {
            let panels = ((fastest(&arc.at) / (PANEL * self.noise)).ceil() as usize).max(1);
            for panel in 0..panels {
                for (point, weight) in points.iter().zip(&weights) {
                    let s = (panel as f64 + point) / panels as f64;
                    let [x, y] = (arc.at)(s);
                    nodes.push(Node {
                        x,
                        y,
                        log_weight: (arc.weight * weight / panels as f64).ln(),
                    });
                }
            }
        }
        CurveDensity {
            nodes,
            noise: self.noise,
            height: self.height,
        }
    }
}

/// A distribution of this kind, prepared for evaluation.
#[derive(Debug, Clone)]
pub(super) struct CurveDensity {
    nodes: Vec<Node>,
    noise: f64,
    height: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    x: f64,
    y: f64,
    log_weight: f64,
}

impl CurveDensity {
    /// ln p in nats.
    pub(super) fn log_density(&self, point: &[f64]) -> f64 {
        let scale = -0.5 / (self.noise * self.noise);
        let terms = self.nodes.iter().map(|node| {
            let (dx, dy) = (point[0] - node.x, point[1] - node.y);
            node.log_weight + scale * (dx * dx + dy * dy)
        });
        let plane = log_sum_exp(terms) - (2.0 * PI * self.noise * self.noise).ln();
        plane
            + self.height.map_or(0.0, |height| {
                log_blurred_uniform(point[2], height, self.noise)
            })
    }
}

/// ln of the density of U[-height / 2, height / 2] + N(0, noise^2) at z.
fn log_blurred_uniform(z: f64, height: f64, noise: f64) -> f64 {
    // Symmetric, so only the upper tail is needed, where erfc is accurate.
    let near = (z.abs() - height / 2.0) / (noise * SQRT_2);
    let far = (z.abs() + height / 2.0) / (noise * SQRT_2);
    let mass = if near > 0.0 {
        0.5 * (erfc(near) - erfc(far))
    } else {
        0.5 * (erf(far) - erf(near))
    };
    mass.ln() - height.ln()
}

/// An upper bound on |c'(s)|, from steps that are small compared with any curve here.
fn fastest(curve: &dyn Fn(f64) -> [f64; 2]) -> f64 {
    const STEPS: usize = 4096;
    let at = |i: usize| curve(i as f64 / STEPS as f64);
    let longest = (0..STEPS)
        .map(|i| {
            let (a, b) = (at(i), at(i + 1));
            (a[0] - b[0]).hypot(a[1] - b[1])
        })
        .fold(0.0, f64::max);
    1.01 * longest * STEPS as f64
}

/// Nodes and weights of the Gauss-Legendre rule on [0, 1].
fn gauss_legendre(order: usize) -> (Vec<f64>, Vec<f64>) {
    let n = order as f64;
    (0..order)
        .map(|i| {
            let mut x = (PI * (i as f64 + 0.75) / (n + 0.5)).cos();
            let mut slope = 1.0;
            for _ in 0..50 {
                let (mut before, mut value) = (1.0, x);
                for k in 2..=order {
                    let k = k as f64;
                    (before, value) = (
                        value,
                        ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k,
                    );
                }
                slope = n * (x * value - before) / (x * x - 1.0);
                let step = value / slope;
                x -= step;
                if step.abs() < 1e-15 {
                    break;
                }
            }
            (0.5 * (1.0 + x), 1.0 / ((1.0 - x * x) * slope * slope))
        })
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_exact_for_polynomials_of_degree_19() {
        let (points, weights) = gauss_legendre(ORDER);
        for degree in 0..20 {
            let sum: f64 = points
                .iter()
                .zip(&weights)
                .map(|(x, w)| w * x.powi(degree))
                .sum();
            assert!(
                (sum - 1.0 / (f64::from(degree) + 1.0)).abs() < 1e-14,
                "{degree}: {sum}"
            );
        }
    }

    #[test]
    fn a_straight_segment_has_its_closed_form() {
        let (length, noise) = (2.0, 0.1);
        let segment = Curve {
            arcs: vec![Arc {
                weight: 1.0,
                at: Box::new(move |s| [length * (s - 0.5), 0.0]),
            }],
            noise,
            height: None,
        }
        .density();
        for x in [0.0, 0.3, 0.95, 1.0, 1.05, 1.4] {
            for y in [0.0, 0.2, 0.5] {
                let across = -0.5 * (y / noise) * (y / noise) - (noise * (2.0 * PI).sqrt()).ln();
                let exact = log_blurred_uniform(x, length, noise) + across;
                let found = segment.log_density(&[x, y]);
                // statrs's erfc is accurate to about 1e-11 relative.
                assert!((found - exact).abs() < 1e-8, "({x}, {y}): {found} {exact}");
            }
        }
    }
}
