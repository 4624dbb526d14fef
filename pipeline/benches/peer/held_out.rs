//! Held-out points, noise and times shared by both sides.

use super::exchange::Tensors;
use super::jobs::points;
use anyhow::Result;
use burn::tensor::{Device, Tensor};
use latent_align_stages::priors::{VelocityNetwork, flow_matching_loss};
use latent_align_stages::random::{Streams, normal, stratified_times};
use latent_align_stages::tensors::{from_f32, scalar};

/// Groups that share a time, and points in each.
const GROUPS: usize = 64;
const EACH: usize = 64;

/// On our side.
pub struct HeldOut {
    data: Tensor<3>,
    noise: Tensor<3>,
    times: Vec<f64>,
}

impl HeldOut {
    /// Draws them: `data` and `noise` [m, d], `times` `[m]`, for both sides.
    pub fn draw(dimensions: usize, streams: Streams) -> Tensors {
        let rows = GROUPS * EACH;
        let mut rng = streams.at("held out", 0);
        let times = stratified_times(&mut rng, GROUPS);
        let repeated = times.iter().flat_map(|&t| [t as f32; EACH]).collect();
        let noise = normal(&mut rng, rows * dimensions);
        let mut tensors = Tensors::default();
        tensors.add(
            "data",
            [rows, dimensions],
            points(dimensions, rows, streams),
        );
        tensors.add("noise", [rows, dimensions], noise);
        tensors.add("times", [rows], repeated);
        tensors
    }

    /// Takes them from what was drawn.
    pub fn new(given: &mut Tensors, dimensions: usize, device: &Device) -> Result<Self> {
        let shape = [GROUPS, EACH, dimensions];
        let times = given.take("times")?;
        Ok(Self {
            data: from_f32(given.take("data")?, shape, device),
            noise: from_f32(given.take("noise")?, shape, device),
            times: times.into_iter().step_by(EACH).map(f64::from).collect(),
        })
    }

    /// The flow-matching loss of `network`, summed over dimensions.
    pub fn loss(&self, network: &VelocityNetwork) -> Result<f64> {
        let (data, noise) = (self.data.clone(), self.noise.clone());
        Ok(scalar(flow_matching_loss(
            network,
            data,
            noise,
            &self.times,
        ))?)
    }
}
