//! One training step of a VAE of binary images, by its posterior, and its importance-weighted likelihoods.

use super::Job;
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
use latent_align_stages::random::Streams;
use latent_align_stages::stages::evaluate_likelihood::importance_weighted;
use latent_align_stages::tensors::from_f32;
use latent_align_stages::training::{OptimiserConfig, Trainer};
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

/// The VAE in training on random binary images, over and over.
pub struct TrainVae {
    trainer: Option<Trainer<Autoencoder>>,
    images: Tensor<4>,
    done: u64,
}

/// Images a step, and their pixels.
const BATCH: usize = 100;
const PIXELS: usize = 28;

/// The VAE on `device`.
fn network(posterior: OfVae, device: &Device) -> Autoencoder {
    let header = AutoencoderHeader {
        architecture: ArchitectureConfig::Dense {
            widths: vec![300, 300],
            gated: true,
        },
        latent: LatentConfig {
            tokens: 1,
            width: 40,
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

/// The importance-weighted NLL of as many images as a batch has, under the VAE untrained.
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
        importance_weighted(&self.model, 1, &self.images, self.samples, Streams::new(1)).map(drop)
    }
}

impl Job for TrainVae {
    fn step(&mut self) -> Result<()> {
        let trainer = self.trainer.take().expect("put back below");
        let model = &trainer.module;
        let posterior = model.encode(self.images.clone());
        let draw = posterior.draw(&mut Streams::new(1).at("draws", self.done));
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
        let loss = (losses.sum() + divergence).div_scalar((BATCH * PIXELS * PIXELS) as f64);
        self.trainer = Some(trainer.step(loss.backward()));
        self.done += 1;
        Ok(())
    }
}
