//! The alignment loss of a step of `train-autoencoder`, and its gradient.

use super::{Job, Size, Train};
use burn::module::Module;
use burn::tensor::Device;
use latent_align_stages::alignment::{Weighted, Weighting, alignment_loss, alignment_times};
use latent_align_stages::priors::Tabulated;
use latent_align_stages::random::Streams;
use latent_align_stages::tensors::from_f32;
use latent_align_stages::training::MatmulPrecision;
use latent_align_stages::{Error, Result};

/// Latents [batch, d] under a frozen flow.
pub struct Align {
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
            flow: Tabulated::new(flow, Self::grid()),
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
}
