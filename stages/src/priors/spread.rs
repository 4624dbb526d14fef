//! A velocity field computed by several devices together.

use super::field::VelocityField;
use crate::training::{gathered, spread};
use burn::tensor::{Device, Tensor};

/// Copies of a field, one on each device, at least one: each computes the velocity of its share of the groups. Everything
/// else is computed by the first.
pub struct Spread<'a> {
    pub fields: Vec<&'a dyn VelocityField>,
    /// Those of the fields; points are on the first.
    pub devices: &'a [Device],
}

impl VelocityField for Spread<'_> {
    fn width(&self) -> usize {
        self.fields[0].width()
    }

    fn velocity(&self, x: Tensor<3>, times: &[f64]) -> Tensor<3> {
        let mut rest = times;
        let shares = spread(x, self.devices).into_iter().zip(&self.fields);
        let velocities = shares.map(|(x, field)| {
            let (times, others) = rest.split_at(x.dims()[0]);
            rest = others;
            field.velocity(x, times)
        });
        gathered(velocities.collect())
    }

    fn velocity_and_divergence(&self, x: Tensor<2>, time: f64) -> (Tensor<2>, Tensor<1>) {
        self.fields[0].velocity_and_divergence(x, time)
    }

    fn velocity_and_jvps(
        &self,
        x: Tensor<2>,
        time: f64,
        directions: Tensor<3>,
    ) -> (Tensor<2>, Tensor<3>) {
        self.fields[0].velocity_and_jvps(x, time, directions)
    }
}
