//! A frozen network with precomputed time-dependent values.

use super::network::{Modulations, VelocityNetwork};
use crate::priors::field::VelocityField;
use crate::tensors::indices;
use burn::tensor::{Device, Tensor};
use std::borrow::Borrow;

/// A velocity network with frozen weights, with modulations precomputed at the times of a grid instead
/// of at every training step against it. At other times the network computes them.
pub struct Tabulated<N = VelocityNetwork> {
    network: N,
    /// The grid, ascending.
    times: Vec<f64>,
    /// One row per time.
    table: Modulations,
}

impl<N: Borrow<VelocityNetwork>> Tabulated<N> {
    /// The frozen `network` with a table for the ascending `times`. The table holds 3 width numbers per
    /// block and time, plus 2 width per time.
    pub fn new(network: N, times: Vec<f64>) -> Self {
        debug_assert!(times.is_sorted(), "looked up by bisection");
        let of = network.borrow();
        Self {
            table: of.modulations(&times, of.precision()).detach(),
            network,
            times,
        }
    }

    /// The table's rows for `times`, if it has all of them.
    fn rows(&self, times: &[f64]) -> Option<Vec<usize>> {
        let row = |time: &f64| self.times.binary_search_by(|t| t.total_cmp(time)).ok();
        times.iter().map(row).collect()
    }

    pub fn device(&self) -> Device {
        self.network.borrow().device()
    }
}

impl<N: Borrow<VelocityNetwork> + Send + Sync> VelocityField for Tabulated<N> {
    fn width(&self) -> usize {
        self.network.borrow().width()
    }

    fn velocity(&self, x: Tensor<3>, times: &[f64]) -> Tensor<3> {
        let network = self.network.borrow();
        let table = match self.rows(times).as_deref() {
            None => return network.velocity(x, times),
            Some([row]) => self.table.of_group(*row),
            Some(rows) => self
                .table
                .select(indices(rows.iter().copied(), &self.device())),
        };
        network.modulated(x, table)
    }

    fn velocity_and_divergence(&self, x: Tensor<2>, time: f64) -> (Tensor<2>, Tensor<1>) {
        self.network.borrow().velocity_and_divergence(x, time)
    }

    fn velocity_and_jvps(
        &self,
        x: Tensor<2>,
        time: f64,
        directions: Tensor<3>,
    ) -> (Tensor<2>, Tensor<3>) {
        self.network.borrow().velocity_and_jvps(x, time, directions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::priors::VelocityNetworkConfig;
    use crate::random::Streams;
    use crate::tensors::{from_f32, to_f32};
    use crate::training::{MatmulPrecision, perturb};
    use burn::module::Module;

    #[test]
    fn what_is_looked_up_is_what_is_computed() {
        let device = Device::flex().autodiff();
        let config = VelocityNetworkConfig {
            width: 48,
            blocks: 2,
            frequencies: 16,
            time_scale: 1000.0,
        };
        let precisions = [MatmulPrecision::F32, MatmulPrecision::Bf16];
        // a network with conditions is looked up under "none"
        for (columns, precision) in [0, 3].into_iter().flat_map(|c| precisions.map(|p| (c, p))) {
            let network = config.init_under(columns, 3, Streams::new(1), &device);
            let network = perturb(network, 0.2, Streams::new(2)).no_grad();
            let network = network.in_precision(precision);
            let times: Vec<f64> = (0..64).map(|k| f64::from(k) / 64.0).collect();
            let tabulated = Tabulated::new(network.clone(), times.clone());
            // on the grid in any order and repeated, and off the grid
            for asked in [[times[7], times[3], times[7]], [times[7], 0.123, 0.9]] {
                let run = |field: &dyn VelocityField| {
                    let x = from_f32(Streams::new(3).normal("x", 0, 36), [3, 4, 3], &device);
                    let x: Tensor<3> = x.require_grad();
                    let v = field.velocity(x.clone(), &asked);
                    let gradient = x.grad(&v.clone().square().sum().backward()).unwrap();
                    [to_f32(v).unwrap(), to_f32(gradient).unwrap()]
                };
                for (a, b) in run(&tabulated).iter().zip(run(&network)) {
                    for (a, b) in a.iter().zip(&b) {
                        assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "{a} {b}");
                    }
                }
            }
        }
    }
}
