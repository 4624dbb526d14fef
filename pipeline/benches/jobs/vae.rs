//! One training step of a VAE of binary images, by its posterior, and its importance-weighted likelihoods.

use super::{Job, Shown, Tensors};
use burn::tensor::{Device, Tensor};
use latent_align_stages::Result;
use latent_align_stages::architectures::ArchitectureConfig;
use latent_align_stages::autoencoders::{
    Autoencoder, AutoencoderHeader, LatentConfig, Reconstruction,
};
use latent_align_stages::data::{Binarise, DataShape};
use latent_align_stages::posteriors::{
    Gaussian, Householder, Iaf, LinearIaf, Planar, PosteriorConfig, Radial,
};
use latent_align_stages::priors::normal_nll;
use latent_align_stages::random::{Streams, normal};
use latent_align_stages::stages::evaluate_likelihood::importance_weighted;
use latent_align_stages::tensors::{from_f32, to_f32};
use latent_align_stages::training::{OptimiserConfig, Trainer};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A posterior of the VAE of `configs/sweeps/posteriors-mnist.yaml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfVae {
    Gaussian,
    Householder,
    Planar,
    Radial,
    LinearIaf,
    LinearIafOf5,
    Iaf,
}

impl OfVae {
    pub const ALL: [Self; 7] = [
        Self::Gaussian,
        Self::Householder,
        Self::Planar,
        Self::Radial,
        Self::LinearIaf,
        Self::LinearIafOf5,
        Self::Iaf,
    ];

    fn config(self) -> PosteriorConfig {
        match self {
            Self::Gaussian => PosteriorConfig::Gaussian(Gaussian {}),
            Self::Householder => PosteriorConfig::Householder(Householder { steps: 10 }),
            Self::Planar => PosteriorConfig::Planar(Planar { steps: 10 }),
            Self::Radial => PosteriorConfig::Radial(Radial { steps: 10 }),
            Self::LinearIaf => PosteriorConfig::LinearIaf(LinearIaf { matrices: 1 }),
            Self::LinearIafOf5 => PosteriorConfig::LinearIaf(LinearIaf { matrices: 5 }),
            Self::Iaf => PosteriorConfig::Iaf(Iaf {
                steps: 2,
                widths: vec![320],
            }),
        }
    }
}

impl fmt::Display for OfVae {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = self.config().name();
        match self {
            Self::LinearIafOf5 => write!(f, "{name}, 5 matrices"),
            _ => f.write_str(&name),
        }
    }
}

/// The VAE trained on random binary images, repeatedly.
pub struct TrainVae {
    trainer: Option<Trainer<Autoencoder>>,
    images: Tensor<4>,
    done: u64,
}

/// Images a step, and their pixels.
const BATCH: usize = 100;
const PIXELS: usize = 28;
/// Numbers of a latent.
const LATENTS: usize = 40;

/// The VAE on `device`.
fn network(posterior: OfVae, device: &Device) -> Autoencoder {
    let header = AutoencoderHeader {
        architecture: ArchitectureConfig::Dense {
            widths: vec![300, 300],
            gated: true,
        },
        latent: LatentConfig {
            tokens: 1,
            width: LATENTS,
            top: None,
        },
        posterior: posterior.config(),
        reconstruction: Reconstruction::Bernoulli,
        shape: DataShape {
            channels: 1,
            height: PIXELS,
            width: PIXELS,
        },
        maximum: 255.0,
        binarise: Some(Binarise::Once),
    };
    Autoencoder::new(&header, Streams::new(0), device).expect("it has data")
}

/// Random binary images.
fn images(device: &Device) -> Tensor<4> {
    let images = Streams::new(0).normal("images", 0, BATCH * PIXELS * PIXELS);
    let images = images.into_iter().map(|x| f32::from(x > 0.0)).collect();
    from_f32(images, [BATCH, 1, PIXELS, PIXELS], device)
}

impl TrainVae {
    pub fn new(posterior: OfVae, device: &Device) -> Self {
        let device = device.clone().autodiff();
        let model = network(posterior, &device);
        Self {
            trainer: Some(Trainer::new(model, &OptimiserConfig::default(), 1 << 32)),
            images: images(&device),
            done: 0,
        }
    }
}

/// The importance-weighted NLL of a batch of images under the untrained VAE.
pub struct WeighVae {
    model: Autoencoder,
    images: Tensor<4>,
    samples: usize,
}

impl WeighVae {
    pub fn new(samples: usize, device: &Device) -> Self {
        Self {
            model: network(OfVae::Gaussian, device),
            images: images(device),
            samples,
        }
    }
}

impl Job for WeighVae {
    fn step(&mut self) -> Result<()> {
        self.nll(self.samples).map(drop)
    }

    /// The NLL of each image, with the same draws on both sides.
    fn show(&mut self, to: &Shown) -> anyhow::Result<()> {
        to.module("model", &self.model)?;
        let draws = self.samples.min(SHOWN);
        let mut given = Tensors::default();
        let images = to_f32(self.images.clone())?;
        given.add("images", [BATCH, PIXELS * PIXELS], images);
        given.add("noise", [draws, BATCH, LATENTS], weighed_noise(draws));
        to.given(&given)?;
        let nll = self.nll(draws)?.into_iter().map(|nll| nll as f32);
        let mut found = Tensors::default();
        found.add("nll", [BATCH], nll.collect());
        to.found(&found)
    }
}

/// Draws of each image that both sides compare.
const SHOWN: usize = 60;
/// Images that share a random stream in `weigh`.
const BLOCK: usize = 64;

impl WeighVae {
    fn nll(&self, samples: usize) -> Result<Vec<f64>> {
        importance_weighted(&self.model, 1, &self.images, samples, weighed())
    }
}

fn weighed() -> Streams {
    Streams::new(1)
}

/// The noise of `draws` draws of each image as `weigh` draws it [draws, BATCH, LATENTS]: block by block of images,
/// in a block draw by draw.
fn weighed_noise(draws: usize) -> Vec<f32> {
    let mut noise = vec![0.0; draws * BATCH * LATENTS];
    for (block, first) in (0..BATCH).step_by(BLOCK).enumerate() {
        let numbers = LATENTS * BLOCK.min(BATCH - first);
        let mut rng = weighed().at("importance weights", block as u64);
        for of_draw in noise.chunks_mut(BATCH * LATENTS) {
            of_draw[first * LATENTS..][..numbers].copy_from_slice(&normal(&mut rng, numbers));
        }
    }
    noise
}

impl TrainVae {
    /// The negative ELBO of the images under `model` in nats per pixel, with the draws of step `done`.
    fn loss(&self, model: &Autoencoder, done: u64) -> Tensor<1> {
        let posterior = model.encode(self.images.clone());
        let draw = posterior.draw(&mut draws(done));
        let decoded = model.decode(draw.latents.clone());
        let losses =
            model.reconstruction_losses(Reconstruction::Bernoulli, decoded, self.images.clone());
        let divergence = match posterior.kl_to_normal() {
            Some(kl) => kl.sum(),
            None => {
                let log_density = draw.log_density().expect("it has a density");
                normal_nll(draw.latents).sum() + log_density.sum()
            }
        };
        (losses.sum() + divergence).div_scalar((BATCH * PIXELS * PIXELS) as f64)
    }
}

/// The random numbers of step `done`.
fn draws(done: u64) -> Pcg64 {
    Streams::new(1).at("draws", done)
}

impl Job for TrainVae {
    fn step(&mut self) -> Result<()> {
        let trainer = self.trainer.take().expect("put back below");
        let loss = self.loss(&trainer.module, self.done);
        self.trainer = Some(trainer.step(loss.backward()));
        self.done += 1;
        Ok(())
    }

    fn show(&mut self, to: &Shown) -> anyhow::Result<()> {
        let model = &self.trainer.as_ref().expect("between steps").module;
        to.module("model", model)?;
        let mut given = Tensors::default();
        let images = to_f32(self.images.clone().inner())?;
        given.add("images", [BATCH, PIXELS * PIXELS], images);
        let noise = normal(&mut draws(0), BATCH * LATENTS);
        given.add("noise", [BATCH, LATENTS], noise);
        to.given(&given)?;
        to.loss_and_gradient(model, self.loss(model, 0))
    }
}
