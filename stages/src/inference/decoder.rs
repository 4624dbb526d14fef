//! A stored decoder: latents -> data in its own units.

use super::columns::Column;
use crate::autoencoders::{Autoencoder, AutoencoderHeader};
use crate::data::Attribute;
use crate::error::Result;
use crate::tensors::{from_f32, to_f32};
use burn::tensor::Device;
use std::path::Path;

/// An autoencoder that decodes.
pub struct Decoder {
    model: Autoencoder,
    /// What it is.
    pub header: AutoencoderHeader,
    device: Device,
}

impl Decoder {
    /// That of the autoencoder in the directory `dir`.
    ///
    /// # Errors
    /// As [`Autoencoder::load`].
    pub fn load(dir: &Path, device: &Device) -> Result<Self> {
        let (model, header) = Autoencoder::load(dir, device)?;
        Ok(Self {
            model,
            header,
            device: device.clone(),
        })
    }

    /// Rows of data [n, C * H * W], in the units of the training data, of latents [n, T * d].
    ///
    /// # Errors
    /// Device errors.
    pub fn decode(&self, latents: Vec<f32>) -> Result<Vec<f32>> {
        let width = self.header.latent.width;
        let dims = [latents.len() / width, width];
        let decoded = self.model.decode(from_f32(latents, dims, &self.device));
        let mut data = to_f32(self.header.reconstruction.data(decoded))?;
        if self.header.maximum != 1.0 {
            let maximum = self.header.maximum as f32;
            data.iter_mut().for_each(|value| *value *= maximum);
        }
        Ok(data)
    }

    /// The dataset `name` of decoded rows: images [C, H, W], or vectors `[D]`.
    pub fn column(&self, name: &str) -> Column {
        let shape = self.header.shape;
        let text = |name: &str, text: &str| (name.to_owned(), Attribute::Text(text.to_owned()));
        let maximum = self.header.maximum;
        Column {
            name: name.to_owned(),
            shape: match shape.height * shape.width {
                1 => vec![shape.channels],
                _ => vec![shape.channels, shape.height, shape.width],
            },
            attributes: vec![
                text("space", "data, as the autoencoder was trained on"),
                text(
                    "units",
                    &format!("those of that data, which it divides by {maximum}"),
                ),
                ("maximum".to_owned(), Attribute::Float(maximum)),
            ],
        }
    }
}
