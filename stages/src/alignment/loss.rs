//! The alignment loss of latents under a frozen flow (Li et al., arXiv 2506.05240):
//!
//! `L(y) = E_{t, noise} w(t) || v((1 - t) noise + t y, t) - (y - noise) ||^2`.
//!
//! The gradient goes through the network's input *and* through the target. Freezing the flow means
//! its parameters, not the graph.

use super::config::Weighting;
use crate::error::Result;
use crate::flows::{ROWS_PER_EVALUATION, VelocityField, interpolate};
use crate::tensors::{from_f32, from_f64, to_f64};
use crate::training::{Streams, normal, stratified_times};
use burn::tensor::Tensor;
use rand_pcg::Pcg64;

/// Times in one training loss, each shared by a group of rows.
const MOST_TIMES: usize = 64;
/// Fewer make the loss of a step noisy.
const FEWEST_TIMES: usize = 16;

impl Weighting {
    /// Times for `count` draws and the factor on each draw's squared error, such that the mean over
    /// draws estimates `E w(t) ||...||^2`.
    fn times(self, rng: &mut Pcg64, count: usize) -> (Vec<f64>, Vec<f64>) {
        match self {
            Self::Uniform => (stratified_times(rng, count), vec![1.0; count]),
        }
    }
}

/// The alignment loss of latents `y` [n, d] as a training loss `[1]`: `draws` independent
/// (t, noise) draws a latent, *mean* over draws, latents and dimensions.
///
/// Rows share stratified times in 16 to 64 groups, each row's own time uniform on [0, 1]; the strata are
/// dealt to groups in random order. Noise is independent.
pub fn alignment_loss(
    field: &dyn VelocityField,
    y: Tensor<2>,
    weighting: Weighting,
    draws: usize,
    rng: &mut Pcg64,
) -> Tensor<1> {
    let [n, d] = y.dims();
    let rows = draws * n;
    // Where no good number of groups divides the rows, each row has its own time.
    let groups = (FEWEST_TIMES..=MOST_TIMES)
        .rev()
        .find(|&k| rows.is_multiple_of(k))
        .unwrap_or(rows);
    let dims = [groups, rows / groups, d];
    let (times, factors) = weighting.times(rng, groups);
    let noise = from_f32::<3>(normal(rng, rows * d), dims, &y.device()).cast(y.dtype());
    let data = y.repeat_dim(0, draws).reshape(dims);
    weighted_error(field, data, noise, &times, &factors).mean()
}

/// `w(t) (v(x_t, t) - (y - noise))^2` for K groups [K, m, d] of latents.
fn weighted_error(
    field: &dyn VelocityField,
    y: Tensor<3>,
    noise: Tensor<3>,
    times: &[f64],
    factors: &[f64],
) -> Tensor<3> {
    let points = interpolate(y.clone(), noise.clone(), times);
    let error = (field.velocity(points, times) - (y - noise)).square();
    if factors.iter().all(|&f| f == 1.0) {
        return error;
    }
    let (dtype, device) = (error.dtype(), error.device());
    error * from_f64(factors.to_vec(), [factors.len(), 1, 1], dtype, &device)
}

/// The alignment loss of each of `points` [n, d], *summed* over dimensions, estimated from `draws`
/// (t, noise) draws that all points share, the noise in antithetic pairs.
///
/// Shared draws rank points better than independent ones: what is common to all cancels. `check` is
/// called now and then; an error from it stops.
pub fn alignment_loss_per_point(
    field: &dyn VelocityField,
    points: Tensor<2>,
    weighting: Weighting,
    draws: usize,
    streams: Streams,
    mut check: impl FnMut() -> Result<()>,
) -> Result<Vec<f64>> {
    let [n, d] = points.dims();
    let device = points.device();
    let mut rng = streams.at("alignment loss", 0);
    let pairs = draws.div_ceil(2);
    let (times, factors) = weighting.times(&mut rng, pairs);
    let noise = normal(&mut rng, pairs * d);

    let mut total = vec![0.0; n];
    let pairs_at_once = (ROWS_PER_EVALUATION / (2 * n)).max(1);
    for first in (0..pairs).step_by(pairs_at_once) {
        check()?;
        let chunk = first..(first + pairs_at_once).min(pairs);
        let count = chunk.len();
        let half: Tensor<3> = from_f32(
            noise[chunk.start * d..chunk.end * d].to_vec(),
            [count, 1, d],
            &device,
        )
        .cast(points.dtype());
        let noise = Tensor::cat(vec![half.clone(), half.neg()], 0).repeat_dim(1, n); // [2 count, n, d]
        let twice = |values: &[f64]| [&values[chunk.clone()], &values[chunk.clone()]].concat();
        let y = points.clone().unsqueeze::<3>().repeat_dim(0, 2 * count);
        let error = weighted_error(field, y, noise, &twice(&times), &twice(&factors));
        let sums = to_f64(error.sum_dim(2).sum_dim(0).flatten::<1>(0, 2))?;
        for (total, sum) in total.iter_mut().zip(sums) {
            *total += sum / (2 * pairs) as f64;
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::GaussianMixture;
    use crate::flows::{ExactMixture, VelocityNetworkConfig};
    use crate::tensors::{cast, to_f32};
    use crate::training::perturb;
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
        let losses = alignment_loss_per_point(
            &field,
            points,
            Weighting::Uniform,
            65_536,
            Streams::new(1),
            || Ok(()),
        )
        .unwrap();
        for (row, loss) in losses.iter().enumerate() {
            let expected = (0..3)
                .map(|i| s[i] + (y[3 * row + i] - mu[i]).powi(2) / s[i])
                .sum::<f64>()
                * PI
                / 4.0;
            assert!((loss / expected - 1.0).abs() < 0.01, "{loss} {expected}");
        }
    }

    #[test]
    fn gradient_through_input_and_target_matches_central_differences() {
        let device = Device::flex().autodiff();
        let config = VelocityNetworkConfig {
            width: 24,
            blocks: 2,
            frequencies: 16,
            time_scale: 1000.0,
        };
        let network = config.init(3, Streams::new(0), &device);
        let network = cast(perturb(network, 0.3, Streams::new(5)), DType::F64);
        let values: Vec<f64> = Streams::new(2)
            .normal("y", 0, 12)
            .into_iter()
            .map(f64::from)
            .collect();
        let loss = |values: &[f64]| {
            let y: Tensor<2> = from_f64(values.to_vec(), [4, 3], DType::F64, &device);
            let y = y.require_grad();
            let mut rng = Streams::new(3).at("draws", 0);
            (
                alignment_loss(&network, y.clone(), Weighting::Uniform, 4, &mut rng),
                y,
            )
        };
        let value = |values: &[f64]| to_f64(loss(values).0).unwrap()[0];
        let (at, y) = loss(&values);
        let gradient = to_f64(y.grad(&at.backward()).unwrap()).unwrap();
        for i in 0..values.len() {
            let shifted = |h: f64| {
                let mut v = values.clone();
                v[i] += h;
                value(&v)
            };
            let difference = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            let error = (gradient[i] - difference).abs() / difference.abs().max(1e-3);
            assert!(error < 1e-3, "{i}: {} {difference}", gradient[i]);
        }
    }

    #[test]
    fn the_training_loss_is_the_mean_over_dimensions_of_the_estimator() {
        let device = Device::flex();
        let mixture = GaussianMixture {
            weights: vec![1.0],
            means: vec![vec![0.0; 2]],
            covariances: vec![vec![1.0, 0.0, 0.0, 1.0]],
        };
        let field = ExactMixture::new(&mixture, DType::F32, &device);
        let y: Tensor<2> = from_f32(vec![1.0, 0.0], [1, 2], &device);
        let mut rng = Streams::new(0).at("draws", 0);
        let loss = alignment_loss(&field, y, Weighting::Uniform, 65_536, &mut rng);
        let expected = PI / 4.0 * (2.0 + 1.0) / 2.0;
        let loss = f64::from(to_f32(loss).unwrap()[0]);
        assert!((loss / expected - 1.0).abs() < 0.01, "{loss} {expected}");
    }
}
