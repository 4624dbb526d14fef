//! One training step of an autoencoder or a classifier of images.

use super::{Job, Shown, Tensors};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use latent_align_stages::Result;
use latent_align_stages::architectures::ArchitectureConfig;
use latent_align_stages::autoencoders::{
    Autoencoder, AutoencoderHeader, LatentConfig, Reconstruction,
};
use latent_align_stages::classifiers::{Classifier, cross_entropy};
use latent_align_stages::data::DataShape;
use latent_align_stages::posteriors::{Deterministic, PosteriorConfig};
use latent_align_stages::random::Streams;
use latent_align_stages::tensors::{from_f32, to_f32};
use latent_align_stages::training::{OptimiserConfig, Trainer};
use serde::Serialize;
use std::fmt;

/// The batch size.
const BATCH: usize = 128;
/// A classifier's features and classes.
const FEATURES: usize = 64;
const CLASSES: usize = 10;

/// A network of images: hidden widths, or channels of convolutions that halve the image.
#[derive(Debug, Clone, Copy, Serialize, serde::Deserialize)]
pub struct OfImages {
    /// Channels and side of the square images.
    channels: usize,
    side: usize,
    convolutional: bool,
    /// Widths or channels; zeros are unused.
    layers: [usize; 3],
    batch: usize,
    latents: usize,
    features: usize,
    classes: usize,
}

impl OfImages {
    const fn of(channels: usize, side: usize, convolutional: bool, layers: [usize; 3]) -> Self {
        Self {
            channels,
            side,
            convolutional,
            layers,
            batch: BATCH,
            latents: 64,
            features: FEATURES,
            classes: CLASSES,
        }
    }

    pub const ALL: [Self; 4] = [
        Self::of(1, 8, false, [256, 256, 0]),
        Self::of(1, 28, false, [256, 256, 0]),
        Self::of(1, 28, true, [32, 64, 0]),
        Self::of(3, 64, true, [64, 128, 256]),
    ];

    fn layers(&self) -> Vec<usize> {
        self.layers.into_iter().filter(|&layer| layer > 0).collect()
    }

    fn architecture(&self) -> ArchitectureConfig {
        match self.convolutional {
            true => ArchitectureConfig::Convolutional {
                channels: self.layers(),
            },
            false => ArchitectureConfig::Dense {
                widths: self.layers(),
                gated: false,
            },
        }
    }

    fn shape(&self) -> DataShape {
        DataShape {
            channels: self.channels,
            height: self.side,
            width: self.side,
        }
    }

    fn images(&self, device: &Device) -> Tensor<4> {
        let dims = [self.batch, self.channels, self.side, self.side];
        let numbers = Streams::new(0).normal("images", 0, dims.iter().product());
        from_f32(numbers, dims, device)
    }
}

impl fmt::Display for OfImages {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let kind = match self.convolutional {
            true => "convolutions of",
            false => "dense",
        };
        let layers: Vec<String> = self.layers().iter().map(usize::to_string).collect();
        let Self { channels, side, .. } = self;
        let layers = layers.join(", ");
        write!(
            f,
            "{channels} x {side} x {side}, {kind} {layers}, batch {BATCH}"
        )
    }
}

/// An autoencoder trained on the squared error of random images, repeatedly.
pub struct TrainAutoencoder {
    trainer: Option<Trainer<Autoencoder>>,
    images: Tensor<4>,
}

impl TrainAutoencoder {
    pub fn new(of: OfImages, device: &Device) -> Self {
        let device = device.clone().autodiff();
        let header = AutoencoderHeader {
            architecture: of.architecture(),
            latent: LatentConfig {
                tokens: 1,
                width: of.latents,
                top: None,
            },
            posterior: PosteriorConfig::Deterministic(Deterministic {}),
            reconstruction: Reconstruction::Mse,
            shape: of.shape(),
            maximum: 255.0,
            binarise: None,
        };
        let model = Autoencoder::new(&header, Streams::new(0), &device).expect("it has data");
        Self {
            trainer: Some(Trainer::new(model, &OptimiserConfig::default(), 1 << 32)),
            images: of.images(&device),
        }
    }
}

impl TrainAutoencoder {
    fn loss(&self, model: &Autoencoder) -> Tensor<1> {
        let latents = model.encode(self.images.clone()).centre();
        let decoded = model.decode(latents);
        let losses = model.reconstruction_losses(Reconstruction::Mse, decoded, self.images.clone());
        losses.mean()
    }
}

impl Job for TrainAutoencoder {
    fn step(&mut self) -> Result<()> {
        let trainer = self.trainer.take().expect("put back below");
        let loss = self.loss(&trainer.module);
        self.trainer = Some(trainer.step(loss.backward()));
        Ok(())
    }

    fn show(&mut self, to: &Shown) -> anyhow::Result<()> {
        let model = &self.trainer.as_ref().expect("between steps").module;
        show(to, model, self.loss(model), &self.images)
    }
}

/// Shows the loss of `model` and its gradient at `images`.
fn show<M: Module>(
    to: &Shown,
    model: &M,
    loss: Tensor<1>,
    images: &Tensor<4>,
) -> anyhow::Result<()> {
    to.module("model", model)?;
    let mut given = Tensors::default();
    given.add("images", images.dims(), to_f32(images.clone().inner())?);
    to.given(&given)?;
    to.loss_and_gradient(model, loss)
}

/// A classifier trained on random images and classes, repeatedly.
pub struct TrainClassifier {
    trainer: Option<Trainer<Classifier>>,
    images: Tensor<4>,
    /// Its classes [B, K], one-hot.
    targets: Tensor<2>,
}

impl TrainClassifier {
    pub fn new(of: OfImages, device: &Device) -> Self {
        let device = device.clone().autodiff();
        let model = Classifier::new(
            &of.architecture(),
            of.features,
            of.classes,
            of.shape(),
            Streams::new(0),
            &device,
        );
        let one_hot = (0..of.batch * of.classes)
            .map(|i| f32::from(i % of.classes == i / of.classes % of.classes))
            .collect();
        Self {
            trainer: Some(Trainer::new(
                model.expect("it has data"),
                &OptimiserConfig::default(),
                1 << 32,
            )),
            images: of.images(&device),
            targets: from_f32(one_hot, [of.batch, of.classes], &device),
        }
    }
}

impl TrainClassifier {
    fn loss(&self, model: &Classifier) -> Tensor<1> {
        cross_entropy(model.logits(self.images.clone()), self.targets.clone())
    }
}

impl Job for TrainClassifier {
    fn step(&mut self) -> Result<()> {
        let trainer = self.trainer.take().expect("put back below");
        let loss = self.loss(&trainer.module);
        self.trainer = Some(trainer.step(loss.backward()));
        Ok(())
    }

    fn show(&mut self, to: &Shown) -> anyhow::Result<()> {
        let model = &self.trainer.as_ref().expect("between steps").module;
        show(to, model, self.loss(model), &self.images)
    }
}
