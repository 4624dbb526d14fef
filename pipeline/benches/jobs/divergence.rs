//! One evaluation of the velocity and its exact divergence.

use super::{Job, Shown, Size, Tensors, Train};
use burn::tensor::{Device, Tensor};
use latent_align_stages::Result;
use latent_align_stages::priors::{VelocityField as _, VelocityNetwork};
use latent_align_stages::random::Streams;
use latent_align_stages::tensors::{from_f32, to_f32};

/// Points [batch, d] at one time.
pub struct Divergence {
    flow: VelocityNetwork,
    points: Tensor<2>,
}

/// The time between noise (0) and data (1).
const TIME: f64 = 0.5;
/// The standard deviation of the noise added to weights.
const SCALE: f32 = 0.02;

impl Divergence {
    /// Random points under a perturbed network.
    ///
    /// # Errors
    /// As [`Job::step`].
    pub fn new(size: Size, device: &Device) -> Result<Self> {
        let shape = [size.batch, size.dimensions];
        let points = Streams::new(0).normal("points", 0, shape[0] * shape[1]);
        Ok(Self {
            flow: Train::a_little(size, device)?.averaged(),
            points: from_f32(points, shape, device),
        })
    }
}

impl Job for Divergence {
    fn step(&mut self) -> Result<()> {
        let (velocity, divergence) = self.flow.velocity_and_divergence(self.points.clone(), TIME);
        drop((velocity, divergence));
        Ok(())
    }

    fn show(&mut self, to: &Shown) -> anyhow::Result<()> {
        // a network after a few steps has almost no divergence
        self.flow = to.perturbed(self.flow.clone(), SCALE)?;
        to.module("flow", &self.flow)?;
        let mut given = Tensors::default();
        let shape = self.points.dims();
        given.add("points", shape, to_f32(self.points.clone())?);
        to.given(&given)?;
        let (velocity, divergence) = self.flow.velocity_and_divergence(self.points.clone(), TIME);
        let mut found = Tensors::default();
        found.add("velocity", shape, to_f32(velocity)?);
        found.add("divergence", [shape[0]], to_f32(divergence)?);
        to.found(&found)
    }
}
