//! Likelihoods and samples through the probability-flow ODE (Chen et al. 2018, arXiv 1806.07366).
//!
//! `log p(y) = log N(x_0; 0, I) - int_0^1 div v(x_t, t) dt` along the trajectory that ends in
//! `x_1 = y`, found by integrating backwards from y.

use super::ode::{OdeState, Tolerance, dormand_prince};
use crate::error::{Error, Result};
use crate::flows::{ROWS_PER_EVALUATION, VelocityField};
use crate::tensors::to_f64;
use burn::tensor::Tensor;
use std::f64::consts::TAU;

/// Negative log-likelihoods of points, and what they cost.
#[derive(Debug, Clone, Default)]
pub struct Likelihoods {
    /// In nats, of each point, in the coordinates the points were given in.
    pub nll: Vec<f64>,
    /// Evaluations of velocity and divergence, each over one chunk of points, summed over chunks.
    pub evaluations: u64,
}

/// The NLL in nats of each of `points` [n, d] under `field`, with the exact divergence.
/// `progress` is called with the share of points that is done; an error from it stops.
pub fn negative_log_likelihood(
    field: &dyn VelocityField,
    points: Tensor<2>,
    tolerance: f64,
    mut progress: impl FnMut(f64) -> Result<()>,
) -> Result<Likelihoods> {
    let [n, d] = points.dims();
    let chunk = (ROWS_PER_EVALUATION / (d + 1)).max(1);
    let mut result = Likelihoods::default();
    for start in (0..n).step_by(chunk) {
        let count = chunk.min(n - start);
        let x = points.clone().narrow(0, start, count);
        let integral = zero_of_each(&x);
        let solution = dormand_prince(
            |x, t| {
                progress(start as f64 / n as f64)?;
                Ok(field.velocity_and_divergence(x, t))
            },
            OdeState { x, integral },
            1.0,
            0.0,
            Tolerance {
                absolute: tolerance,
                relative: tolerance,
            },
        )?;
        // The integral runs from 1 to 0, so it already carries the minus sign of the formula.
        let half_square = to_f64(solution.state.x.square().sum_dim(1))?;
        let divergence = to_f64(solution.state.integral)?;
        let constant = 0.5 * d as f64 * TAU.ln();
        for (square, divergence) in half_square.iter().zip(&divergence) {
            result.nll.push(0.5 * square + constant - divergence);
        }
        result.evaluations += solution.evaluations;
        progress((start + count) as f64 / n as f64)?;
    }
    match result.nll.iter().position(|nll| !nll.is_finite()) {
        Some(point) => Err(Error::Numerical(format!(
            "the NLL of point {point} is not finite"
        ))),
        None => Ok(result),
    }
}

/// A zero `[n]` for each of the points `[n, d]`.
fn zero_of_each(points: &Tensor<2>) -> Tensor<1> {
    let [n, _] = points.dims();
    Tensor::zeros([n], (&points.device(), points.dtype()))
}

/// Samples [n, d] of the flow: `noise` [n, d] carried from t = 0 to t = 1. `check` is called now and
/// then; an error from it stops.
pub fn sample(
    field: &dyn VelocityField,
    noise: Tensor<2>,
    tolerance: f64,
    mut check: impl FnMut() -> Result<()>,
) -> Result<Tensor<2>> {
    let integral = zero_of_each(&noise);
    let solution = dormand_prince(
        |x, t| {
            check()?;
            let none = zero_of_each(&x);
            let velocity = field.velocity(x.unsqueeze::<3>(), &[t]);
            Ok((velocity.squeeze_dim(0), none))
        },
        OdeState { x: noise, integral },
        0.0,
        1.0,
        Tolerance {
            absolute: tolerance,
            relative: tolerance,
        },
    )?;
    Ok(solution.state.x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::GaussianMixture;
    use crate::flows::ExactMixture;
    use crate::tensors::{from_f32, from_f64, to_f32};
    use crate::training::Streams;
    use burn::tensor::{DType, Device};

    /// N(mu, A A^T) in d dimensions, its Cholesky-free log-density known from the rotation-free form:
    /// variances s_i^2 along the axes.
    fn gaussian(d: usize) -> (GaussianMixture, Vec<f64>, Vec<f64>) {
        let mean: Vec<f64> = (0..d).map(|i| (i as f64).sin()).collect();
        let scale: Vec<f64> = (0..d)
            .map(|i| 0.2 + 1.5 * (i as f64 * 0.37).cos().abs())
            .collect();
        let mut covariance = vec![0.0; d * d];
        for i in 0..d {
            covariance[i * d + i] = scale[i] * scale[i];
        }
        let mixture = GaussianMixture {
            weights: vec![1.0],
            means: vec![mean.clone()],
            covariances: vec![covariance],
        };
        (mixture, mean, scale)
    }

    #[test]
    fn exact_gaussian_velocity_gives_the_closed_form_nll_at_every_point() {
        let device = Device::flex();
        for d in [2, 16, 64] {
            let (mixture, mean, scale) = gaussian(d);
            let n = 50;
            // two standard deviations wide: tails as well as the bulk
            let z = Streams::new(d as u64).normal("z", 0, n * d);
            let points: Vec<f64> = (z.iter().enumerate())
                .map(|(i, z)| mean[i % d] + 2.0 * scale[i % d] * f64::from(*z))
                .collect();
            let field = ExactMixture::new(&mixture, DType::F64, &device);
            let x = from_f64(points.clone(), [n, d], DType::F64, &device);
            let nll = negative_log_likelihood(&field, x, 1e-7, |_| Ok(()))
                .unwrap()
                .nll;
            for (point, nll) in points.chunks(d).zip(nll) {
                let expected: f64 = (0..d)
                    .map(|i| {
                        let z = (point[i] - mean[i]) / scale[i];
                        0.5 * (z * z + TAU.ln()) + scale[i].ln()
                    })
                    .sum();
                assert!((nll - expected).abs() < 1e-3, "d = {d}: {nll} {expected}");
            }
        }
    }

    #[test]
    fn samples_of_the_exact_velocity_follow_the_target() {
        let device = Device::flex();
        let (mixture, mean, scale) = gaussian(2);
        let field = ExactMixture::new(&mixture, DType::F32, &device);
        let n = 4000;
        let noise = from_f32(Streams::new(9).normal("noise", 0, 2 * n), [n, 2], &device);
        let samples = to_f32(sample(&field, noise, 1e-5, || Ok(())).unwrap()).unwrap();
        for axis in 0..2 {
            let z: Vec<f64> = (samples.iter().skip(axis).step_by(2))
                .map(|x| (f64::from(*x) - mean[axis]) / scale[axis])
                .collect();
            let m = z.iter().sum::<f64>() / n as f64;
            let v = z.iter().map(|z| z * z).sum::<f64>() / n as f64;
            assert!(m.abs() < 0.06 && (v - 1.0).abs() < 0.08, "{m} {v}");
        }
    }
}
