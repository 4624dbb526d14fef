//! The surface of a torus in three dimensions, blurred by Gaussian noise.
//!
//! Both angles are uniform. The integral over the angle around the axis is a Bessel function, so the density is an
//! integral over the tube's angle alone. Its integrand is smooth and periodic, and the trapezoidal rule converges
//! to rounding error: the result is exact, not an estimate.

use super::gaussian_mixture::log_sum_exp;
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;
use std::f64::consts::PI;

/// Length of a step along the tube in units of the noise.
const STEP: f64 = 0.5;
/// Minimum number of steps around the tube.
const LEAST_STEPS: usize = 64;

#[derive(Debug, Clone, Copy)]
pub(super) struct Torus {
    /// Distance from the axis to the middle of the tube.
    pub(super) radius: f64,
    /// Radius of the tube, below `radius`.
    pub(super) tube: f64,
    pub(super) noise: f64,
}

impl Torus {
    /// Appends one sample to `out`.
    pub(super) fn sample_into(&self, rng: &mut (impl Rng + ?Sized), out: &mut Vec<f32>) {
        let [around, along] = [(); 2].map(|()| 2.0 * PI * rng.random::<f64>());
        let distance = self.radius + self.tube * along.cos();
        let point = [
            distance * around.cos(),
            distance * around.sin(),
            self.tube * along.sin(),
        ];
        let blurred = point.map(|x| x + self.noise * rng.sample::<f64, _>(StandardNormal));
        out.extend(blurred.map(|x| x as f32));
    }

    /// The density with precomputed quadrature nodes.
    pub(super) fn density(&self) -> TorusDensity {
        let steps = (2.0 * PI * self.tube / (STEP * self.noise)).ceil() as usize;
        let steps = steps.max(LEAST_STEPS);
        let nodes = (0..steps).map(|i| {
            let along = 2.0 * PI * i as f64 / steps as f64;
            let distance = self.radius + self.tube * along.cos();
            (distance, self.tube * along.sin())
        });
        TorusDensity {
            nodes: nodes.collect(),
            noise: self.noise,
        }
    }
}

/// A torus prepared for evaluation.
#[derive(Debug, Clone)]
pub(super) struct TorusDensity {
    /// Circles on the surface, evenly spaced around the tube: distance from the axis, and height.
    nodes: Vec<(f64, f64)>,
    noise: f64,
}

impl TorusDensity {
    /// ln p in nats.
    pub(super) fn log_density(&self, point: &[f64]) -> f64 {
        let variance = self.noise * self.noise;
        let distance = point[0].hypot(point[1]);
        // the mean of exp(-|x - y|^2 / (2 s^2)) over y on a circle of radius r is
        // exp(-(distance - r)^2 / (2 s^2)) times exp(-z) I0(z), z = distance r / s^2
        let terms = self.nodes.iter().map(|&(r, height)| {
            let squares = (distance - r).powi(2) + (point[2] - height).powi(2);
            log_scaled_bessel(distance * r / variance) - 0.5 * squares / variance
        });
        let count = self.nodes.len() as f64;
        log_sum_exp(terms) - count.ln() - 1.5 * (2.0 * PI * variance).ln()
    }
}

/// ln(exp(-z) I0(z)) for z >= 0, with I0 the modified Bessel function: its power series, or its asymptotic series
/// if that is shorter.
fn log_scaled_bessel(z: f64) -> f64 {
    const LONG: f64 = 40.0;
    let (mut term, mut sum) = (1.0, 1.0);
    let mut k = 0.0;
    while term > 1e-17 * sum {
        k += 1.0;
        term *= match z < LONG {
            true => (0.5 * z / k).powi(2),
            false => (2.0 * k - 1.0).powi(2) / (8.0 * k * z),
        };
        sum += term;
    }
    match z < LONG {
        true => sum.ln() - z,
        false => sum.ln() - 0.5 * (2.0 * PI * z).ln(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand_pcg::Pcg64;

    /// Abramowitz and Stegun, table 9.8, and both series where they meet.
    #[test]
    fn the_bessel_function_has_its_known_values() {
        let close = |found: f64, expected: f64| {
            let off = (found / expected - 1.0).abs();
            assert!(off < 1e-9, "{found} {expected}");
        };
        close(log_scaled_bessel(1.0).exp(), 0.465_759_607_6);
        close(log_scaled_bessel(10.0).exp(), 0.127_833_337_2);
        let slope = log_scaled_bessel(40.0 - 1e-9) - log_scaled_bessel(40.0);
        assert!(slope.abs() < 1e-10, "{slope}");
        assert_eq!(log_scaled_bessel(0.0), 0.0);
    }

    /// Fails if the density lacks its constant, or samples come from another surface: it integrates to one over a
    /// cube, and its mean at samples is the integral of p ln p.
    #[test]
    fn the_density_integrates_to_one_and_agrees_with_samples() {
        let torus = Torus {
            radius: 1.5,
            tube: 0.6,
            noise: 0.2,
        };
        let density = torus.density();
        // half a noise is fine enough for the midpoint rule of a blurred distribution
        let (side, half) = (0.1, [3.4, 1.8]);
        let places = |half: f64| {
            let count = (2.0 * half / side).round() as usize;
            (0..count).map(move |i| (i as f64 + 0.5) * side - half)
        };
        let (mut mass, mut entropy) = (0.0, 0.0);
        for x in places(half[0]) {
            for y in places(half[0]) {
                for z in places(half[1]) {
                    let log = density.log_density(&[x, y, z]);
                    let share = log.exp() * side * side * side;
                    mass += share;
                    entropy -= share * log;
                }
            }
        }
        assert!((mass - 1.0).abs() < 1e-5, "{mass}");
        let mut samples = Vec::new();
        let mut rng = Pcg64::seed_from_u64(3);
        for _ in 0..4000 {
            torus.sample_into(&mut rng, &mut samples);
        }
        let logs = samples.chunks(3).map(|x| {
            let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            -density.log_density(&x)
        });
        let logs: Vec<f64> = logs.collect();
        let mean = crate::numerics::mean(&logs);
        let error = crate::numerics::standard_error(&logs, 1);
        assert!(
            (mean - entropy).abs() < 5.0 * error,
            "{mean} +- {error}, {entropy}"
        );
    }
}
