//! The velocity network as a field: unconditional, or over points that each have a condition.

use super::network::{Modulations, VelocityNetwork};
use super::tabulated::Tabulated;
use crate::fused;
use crate::priors::field::{VelocityField, divergences_in_turn, jvps_in_turn};
use crate::training::MatmulPrecision;
use burn::tensor::{Int, Tensor};

impl VelocityField for VelocityNetwork {
    fn width(&self) -> usize {
        self.dimensions()
    }

    fn velocity(&self, x: Tensor<3>, times: &[f64]) -> Tensor<3> {
        self.modulated(x, self.modulations(times, self.precision()))
    }

    /// Forward mode: d tangents pass through the same matrix products as extra rows; no graph.
    fn velocity_and_divergence(&self, x: Tensor<2>, time: f64) -> (Tensor<2>, Tensor<1>) {
        let modulations = self.modulations(&[time], MatmulPrecision::F32);
        self.with_divergence(x, &modulations)
    }

    fn velocity_and_jvps(
        &self,
        x: Tensor<2>,
        time: f64,
        directions: Tensor<3>,
    ) -> (Tensor<2>, Tensor<3>) {
        let modulations = self.modulations(&[time], MatmulPrecision::F32);
        self.with_jvps(x, directions, modulations)
    }

    fn divergences(&self, x: Tensor<3>, times: &[f64]) -> Tensor<2> {
        if in_turn(&x) {
            return divergences_in_turn(self, x, times);
        }
        let modulations = self.modulations_of_points(&x, times);
        self.divergences_by(x, &modulations)
    }

    fn jvps(&self, x: Tensor<3>, times: &[f64], directions: Tensor<3>) -> Tensor<4> {
        if in_turn(&x) {
            return jvps_in_turn(self, x, times, directions);
        }
        let modulations = self.modulations_of_points(&x, times);
        self.jvps_by(x, directions, modulations)
    }

    fn at_times(&self, times: &[f64]) -> Option<Box<dyn VelocityField + '_>> {
        let mut times = times.to_vec();
        times.sort_by(f64::total_cmp);
        times.dedup();
        Some(Box::new(Tabulated::new(self, times)))
    }

    fn under(&self, condition: Tensor<2>) -> Option<Box<dyn VelocityField + '_>> {
        let weight = self.condition_weight()?; // [c, width]
        Some(Box::new(Conditioned {
            network: self,
            embedded: condition.cast(weight.dtype()).matmul(weight),
        }))
    }
}

/// A network over points that each have a condition.
struct Conditioned<'a> {
    network: &'a VelocityNetwork,
    /// Contribution of each point's condition to the time embedding [n, width].
    embedded: Tensor<2>,
}

impl Conditioned<'_> {
    /// The modulations of n points, in K groups that share each of `times` `[K]`.
    fn modulations(&self, times: &[f64], precision: MatmulPrecision) -> Modulations {
        let [n, width] = self.embedded.dims();
        let grouped = [times.len(), n / times.len(), width];
        self.by_time(self.embedded.clone().reshape(grouped), times, precision)
    }

    /// The modulations of K groups that each contain the n points.
    fn modulations_of_groups(&self, times: &[f64]) -> Modulations {
        let all = self.embedded.clone().unsqueeze_dim(0);
        self.by_time(all, times, MatmulPrecision::F32)
    }

    /// Combines time embeddings with point embeddings [K or 1, m, width] for K times.
    fn by_time(
        &self,
        embedded: Tensor<3>,
        times: &[f64],
        precision: MatmulPrecision,
    ) -> Modulations {
        let time = self.network.time_embedding(times); // [K, width]
        let embedded = embedded + time.unsqueeze_dim(1);
        (self.network).modulations_of(fused::silu(embedded.flatten(0, 1)), precision)
    }
}

impl VelocityField for Conditioned<'_> {
    fn width(&self) -> usize {
        self.network.dimensions()
    }

    fn velocity(&self, x: Tensor<3>, times: &[f64]) -> Tensor<3> {
        let [groups, each, d] = x.dims();
        let modulations = self.modulations(times, self.network.precision());
        // one modulation per point
        let x = x.reshape([groups * each, 1, d]);
        let velocity = self.network.modulated(x, modulations);
        velocity.reshape([groups, each, d])
    }

    fn velocity_and_divergence(&self, x: Tensor<2>, time: f64) -> (Tensor<2>, Tensor<1>) {
        let modulations = self.modulations(&[time], MatmulPrecision::F32);
        self.network.with_divergence(x, &modulations)
    }

    fn velocity_and_jvps(
        &self,
        x: Tensor<2>,
        time: f64,
        directions: Tensor<3>,
    ) -> (Tensor<2>, Tensor<3>) {
        let modulations = self.modulations(&[time], MatmulPrecision::F32);
        self.network.with_jvps(x, directions, modulations)
    }

    fn divergences(&self, x: Tensor<3>, times: &[f64]) -> Tensor<2> {
        if in_turn(&x) {
            return divergences_in_turn(self, x, times);
        }
        (self.network).divergences_by(x, &self.modulations_of_groups(times))
    }

    fn jvps(&self, x: Tensor<3>, times: &[f64], directions: Tensor<3>) -> Tensor<4> {
        if in_turn(&x) {
            return jvps_in_turn(self, x, times, directions);
        }
        (self.network).jvps_by(x, directions, self.modulations_of_groups(times))
    }

    fn of_points(&self, chosen: Tensor<1, Int>) -> Option<Box<dyn VelocityField + '_>> {
        Some(Box::new(Self {
            network: self.network,
            embedded: self.embedded.clone().select(0, chosen),
        }))
    }
}

/// Whether groups [K, m, d] pass through the network one after another, as one, or several in a core's cache.
fn in_turn(x: &Tensor<3>) -> bool {
    x.dims()[0] == 1 || fused::without_graph(x)
}
