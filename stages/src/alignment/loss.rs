//! The alignment loss of latents under a frozen flow (Li et al., arXiv 2506.05240):
//!
//! `L(y) = E_{t, noise} w(t) || v((1 - t) noise + t y, t) - (y - noise) ||^2`.
//!
//! The gradient flows through the network's input *and* through the target. A frozen flow has constant
//! parameters, but remains part of the graph.

use super::weighting::{Node, Weighted};
use crate::priors::{VelocityField, interpolate};
use crate::random::{normal, stratified_times};
use crate::tensors::{from_f32, from_f64};
use burn::tensor::Tensor;
use rand_pcg::Pcg64;

/// Maximum number of times per training loss, each shared by a group of rows.
const MOST_TIMES: usize = 64;
/// Minimum number of times; fewer make the loss of a step noisy.
const FEWEST_TIMES: usize = 16;
/// Number of possible times: a midpoint rule of this size has negligible error compared with the noise
/// of training.
const GRID: usize = 1024;

/// The alignment loss of latents `y` [n, d] as a training loss `[1]`, with `draws` independent (t,
/// noise) draws per latent: the *mean* over draws, latents and dimensions. Under the likelihood
/// weighting it estimates the NLL in nats per dimension.
///
/// Rows share stratified times in 16 to 64 groups, so that each row's own time follows the weighting;
/// the strata are assigned to groups in random order. Noise is independent. Times are those of
/// [`alignment_times`].
pub fn alignment_loss(
    field: &dyn VelocityField,
    y: Tensor<2>,
    weighted: Weighted,
    draws: usize,
    rng: &mut Pcg64,
) -> Tensor<1> {
    let Grouped {
        data,
        noise,
        shares,
    } = grouped(y, draws, rng);
    let nodes: Vec<Node> = (shares.iter())
        .map(|u| weighted.node(grid_share((u * GRID as f64) as usize)))
        .collect();
    let error = weighted_error(field, data, noise.clone(), &nodes).mean();
    let controls: Vec<f64> = nodes.iter().map(|n| weighted.control(n.time)).collect();
    let offset = weighted.control_mean() + weighted.constant();
    if controls.iter().all(|&c| c == 0.0) {
        return error.add_scalar(offset);
    }
    let control = per_group(&controls, &noise);
    error - (noise.square() * control).mean() + offset
}

/// The times at which [`alignment_loss`] evaluates a field, ascending: the midpoints of equal cells of
/// the weighting's range. Time-dependent values can be precomputed for all of them
/// ([`crate::priors::Tabulated`]).
pub fn alignment_times(weighted: Weighted) -> Vec<f64> {
    (0..GRID)
        .map(|k| weighted.node(grid_share(k)).time)
        .collect()
}

/// The midpoint of a grid cell as a share of the range.
fn grid_share(cell: usize) -> f64 {
    (cell.min(GRID - 1) as f64 + 0.5) / GRID as f64
}

/// Draws for rows in K groups that share a time.
pub(super) struct Grouped {
    /// The rows, repeated for each draw, [K, m, d].
    pub data: Tensor<3>,
    /// Independent standard normal numbers [K, m, d].
    pub noise: Tensor<3>,
    /// A stratified share of [0, 1) per group.
    pub shares: Vec<f64>,
}

/// `draws` consecutive draws for each of `rows` [n, d], in 16 to 64 groups if such a number divides
/// them.
pub(super) fn grouped(rows: Tensor<2>, draws: usize, rng: &mut Pcg64) -> Grouped {
    let [n, d] = rows.dims();
    let count = draws * n;
    // Without a suitable divisor, each row has its own time.
    let groups = (FEWEST_TIMES..=MOST_TIMES)
        .rev()
        .find(|&k| count.is_multiple_of(k))
        .unwrap_or(count);
    let dims = [groups, count / groups, d];
    let shares = stratified_times(rng, groups);
    let noise = from_f32::<3>(normal(rng, count * d), dims, &rows.device()).cast(rows.dtype());
    Grouped {
        data: rows.repeat_dim(0, draws).reshape(dims),
        noise,
        shares,
    }
}

/// `factor (v(x_t, t) - (y - noise))^2` for K groups [K, m, d] of latents, group k at node k.
pub(super) fn weighted_error(
    field: &dyn VelocityField,
    y: Tensor<3>,
    noise: Tensor<3>,
    nodes: &[Node],
) -> Tensor<3> {
    let times: Vec<f64> = nodes.iter().map(|n| n.time).collect();
    let points = interpolate(y.clone(), noise.clone(), &times);
    let error = (field.velocity(points, &times) - (y - noise)).square();
    let factors: Vec<f64> = nodes.iter().map(|n| n.factor).collect();
    if factors.iter().all(|&f| f == 1.0) {
        return error;
    }
    let factors = per_group(&factors, &error);
    error * factors
}

/// One number per group [K, 1, 1], in the element type and on the device of `like`.
fn per_group(values: &[f64], like: &Tensor<3>) -> Tensor<3> {
    from_f64(
        values.to_vec(),
        [values.len(), 1, 1],
        like.dtype(),
        &like.device(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alignment::Weighting;
    use crate::priors::{ExactMixture, VelocityNetworkConfig};
    use crate::random::Streams;
    use crate::targets::GaussianMixture;
    use crate::tensors::{cast, to_f32, to_f64};
    use crate::training::perturb;
    use burn::tensor::{DType, Device};
    use std::f64::consts::PI;

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
        for weighting in [Weighting::Uniform, Weighting::Likelihood] {
            let loss = |values: &[f64]| {
                let y: Tensor<2> = from_f64(values.to_vec(), [4, 3], DType::F64, &device);
                let y = y.require_grad();
                let mut rng = Streams::new(3).at("draws", 0);
                let weighted = Weighted::new(weighting);
                (
                    alignment_loss(&network, y.clone(), weighted, 4, &mut rng),
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
    }

    /// The exact velocity of N(0, I) in two dimensions.
    fn standard(device: &Device) -> ExactMixture {
        let mixture = GaussianMixture {
            weights: vec![1.0],
            means: vec![vec![0.0; 2]],
            covariances: vec![vec![1.0, 0.0, 0.0, 1.0]],
        };
        ExactMixture::new(&mixture, DType::F32, device)
    }

    #[test]
    fn every_time_of_a_loss_is_one_of_the_grid() {
        /// Records the requested times.
        struct Noting(std::sync::Mutex<Vec<f64>>);
        impl VelocityField for Noting {
            fn width(&self) -> usize {
                2
            }
            fn velocity(&self, x: Tensor<3>, times: &[f64]) -> Tensor<3> {
                self.0.lock().unwrap().extend(times);
                x
            }
            fn velocity_and_divergence(&self, _: Tensor<2>, _: f64) -> (Tensor<2>, Tensor<1>) {
                unreachable!("no loss asks for it")
            }
            fn velocity_and_jvps(
                &self,
                _: Tensor<2>,
                _: f64,
                _: Tensor<3>,
            ) -> (Tensor<2>, Tensor<3>) {
                unreachable!("no loss asks for it")
            }
        }
        for weighted in Weighting::ALL.map(Weighted::new) {
            let grid = alignment_times(weighted);
            assert!(grid.is_sorted_by(|a, b| a < b));
            let field = Noting(Vec::new().into());
            for step in 0..50 {
                let y = from_f32(vec![0.5; 128], [64, 2], &Device::flex());
                let mut rng = Streams::new(3).at("draws", step);
                alignment_loss(&field, y, weighted, 1, &mut rng);
            }
            let asked = field.0.into_inner().unwrap();
            assert!(asked.iter().all(|t| grid.contains(t)));
            let mut cells: Vec<usize> = (asked.iter())
                .map(|t| grid.partition_point(|g| g < t))
                .collect();
            cells.sort_unstable();
            cells.dedup();
            // 3,200 draws among 1,024 cells: all but about 45 are hit
            assert!(cells.len() > 900, "{}", cells.len());
        }
    }

    #[test]
    fn the_training_loss_is_the_mean_over_dimensions_of_the_closed_form() {
        let device = Device::flex();
        let field = standard(&device);
        let y: Tensor<2> = from_f32(vec![1.0, 0.0], [1, 2], &device);
        let loss = |weighting| {
            let mut rng = Streams::new(0).at("draws", 0);
            let weighted = Weighted::new(weighting);
            let loss = alignment_loss(&field, y.clone(), weighted, 65_536, &mut rng);
            f64::from(to_f32(loss).unwrap()[0])
        };
        let uniform = PI / 4.0 * (2.0 + 1.0) / 2.0;
        assert!((loss(Weighting::Uniform) / uniform - 1.0).abs() < 0.01);
        let nll = ((2.0 * PI).ln() + 0.5) / 2.0;
        let found = loss(Weighting::Likelihood);
        assert!((found - nll).abs() < 0.02, "{found} {nll}");
    }
}
