//! The alignment loss of a step of `train-autoencoder`, and its gradient.

use super::{Draws, Job, Shown, Size, Tensors, Train};
use burn::module::Module;
use burn::tensor::Device;
use latent_align_stages::alignment::{Weighted, Weighting, alignment_loss, alignment_times};
use latent_align_stages::priors::{Tabulated, VelocityNetwork};
use latent_align_stages::random::Streams;
use latent_align_stages::tensors::{from_f32, to_f32};
use latent_align_stages::training::MatmulPrecision;
use latent_align_stages::{Error, Result};

/// Latents [batch, d] under a frozen flow.
pub struct Align {
    network: VelocityNetwork,
    flow: Tabulated,
    weighted: Weighted,
    latents: Vec<f32>,
    size: Size,
    device: Device,
    done: u64,
}

/// The paper's weighting.
const WEIGHTING: Weighting = Weighting::Uniform;

impl Align {
    /// The times of the loss, ascending.
    pub fn grid() -> Vec<f64> {
        alignment_times(Weighted::new(WEIGHTING))
    }

    /// Random latents under a perturbed network.
    ///
    /// # Errors
    /// As [`Job::step`].
    pub fn new(size: Size, precision: MatmulPrecision, device: &Device) -> Result<Self> {
        let weighted = Weighted::new(WEIGHTING);
        let flow = Train::a_little(size, device)?.module().no_grad();
        let flow = flow.in_precision(precision);
        Ok(Self {
            flow: Tabulated::new(flow.clone(), Self::grid()),
            network: flow,
            weighted,
            latents: Streams::new(0).normal("latents", 0, size.batch * size.dimensions),
            size,
            device: device.clone().autodiff(),
            done: 0,
        })
    }
}

impl Job for Align {
    fn step(&mut self) -> Result<()> {
        let shape = [self.size.batch, self.size.dimensions];
        let latents = from_f32::<2>(self.latents.clone(), shape, &self.device).require_grad();
        let mut rng = Streams::new(0).at("draws", self.done);
        let loss = alignment_loss(&self.flow, latents.clone(), self.weighted, 1, &mut rng);
        let gradient = latents.grad(&loss.backward());
        self.done += 1;
        match gradient {
            Some(_) => Ok(()),
            None => Err(Error::Numerical("the loss has no gradient".to_owned())),
        }
    }

    /// The loss of given latents, noise and times, and its gradient with respect to the latents.
    fn show(&mut self, to: &Shown) -> anyhow::Result<()> {
        let (
            grid,
            Size {
                batch,
                dimensions,
                width,
                ..
            },
        ) = (Self::grid(), self.size);
        let shared = self.size.fit().times;
        let times = grid.iter().skip(grid.len() / shared / 3);
        let times = times
            .step_by(grid.len() / shared)
            .take(shared)
            .copied()
            .collect();
        let draws = Draws::new([batch, dimensions], times);
        let network = to
            .perturbed(self.network.clone(), Draws::scale(width))?
            .no_grad();
        to.module("flow", &network)?;
        to.given(&draws.given())?;
        let points = draws.points(&self.device).require_grad();
        let loss = draws.loss(&Tabulated::new(network, grid), points.clone(), &self.device);
        let gradients = to.loss(loss)?;
        let gradient = points.grad(&gradients).expect("it is a leaf of the loss");
        let mut shown = Tensors::default();
        shown.add("points", [batch, dimensions], to_f32(gradient)?);
        to.gradient(&shown)
    }
}
