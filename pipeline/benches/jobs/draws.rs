//! Points, noise and times of a flow's loss that another implementation also uses.

use super::Tensors;
use burn::tensor::{Device, Tensor};
use latent_align_stages::priors::{VelocityField, flow_matching_loss};
use latent_align_stages::random::Streams;
use latent_align_stages::tensors::from_f32;

/// Points and noise [n, d], and k times, each shared by n / k consecutive points.
pub struct Draws {
    points: Vec<f32>,
    noise: Vec<f32>,
    times: Vec<f64>,
    size: [usize; 2],
}

impl Draws {
    /// Points and noise [n, d] from N(0, I).
    pub fn new(size: [usize; 2], times: Vec<f64>) -> Self {
        let draw = |name| Streams::new(5).normal(name, 0, size[0] * size[1]);
        Self {
            points: draw("points"),
            noise: draw("noise"),
            times,
            size,
        }
    }

    /// The standard deviation of the noise added to weights, most of which are zero at first: the outputs of a
    /// layer of that width then have the size of its inputs.
    pub fn scale(width: usize) -> f32 {
        (width as f32).sqrt().recip()
    }

    /// `points` and `noise` [n, d], `times` `[k]`.
    pub fn given(&self) -> Tensors {
        let mut tensors = Tensors::default();
        tensors.add("points", self.size, self.points.clone());
        tensors.add("noise", self.size, self.noise.clone());
        let times = self.times.iter().map(|&t| t as f32).collect();
        tensors.add("times", [self.times.len()], times);
        tensors
    }

    /// The points [k, n / k, d] on `device`.
    pub fn points(&self, device: &Device) -> Tensor<3> {
        from_f32(self.points.clone(), self.shape(), device)
    }

    /// The mean square error of the velocity at `points` [k, n / k, d], over points and dimensions.
    pub fn loss(&self, flow: &impl VelocityField, points: Tensor<3>, device: &Device) -> Tensor<1> {
        let noise = from_f32(self.noise.clone(), self.shape(), device);
        flow_matching_loss(flow, points, noise, &self.times).div_scalar(self.size[1] as f64)
    }

    fn shape(&self) -> [usize; 3] {
        let ([n, d], k) = (self.size, self.times.len());
        [k, n / k, d]
    }
}
