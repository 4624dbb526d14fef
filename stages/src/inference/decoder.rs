//! A stored decoder: maps latents to data in its original units, through the inverse transport if there is one.

use super::columns::Column;
use super::grid::Images;
use crate::autoencoders::{Autoencoder, AutoencoderHeader};
use crate::data::Attribute;
use crate::error::{Error, Result};
use crate::tensors::{from_f32, to_f32};
use crate::transport::Transport;
use burn::tensor::Device;
use std::path::Path;

/// An autoencoder used for decoding.
pub struct Decoder {
    model: Autoencoder,
    transport: Option<Transport>,
    pub header: AutoencoderHeader,
    device: Device,
}

/// Location of a transport of latents.
#[derive(Debug, Clone, Copy)]
pub struct Through<'a> {
    pub dir: &'a Path,
    /// The directory of the target flow.
    pub flow: &'a Path,
}

impl Through<'_> {
    /// Loads the transport, for latents of the shape in `header`.
    ///
    /// # Errors
    /// As [`Transport::load`]; an input error for latents of another shape.
    pub fn load(&self, header: &AutoencoderHeader, device: &Device) -> Result<Transport> {
        let transport = Transport::load(self.dir, self.flow, device)?;
        let (found, expected) = (transport.shape(), header.latent.shape());
        if found != expected {
            return Err(Error::input(format!(
                "{}: found a transport of latents [{}, {}], expected [{}, {}], as produced by the \
                 autoencoder; run the experiment again",
                self.dir.display(),
                found.tokens,
                found.width,
                expected.tokens,
                expected.width
            )));
        }
        Ok(transport)
    }
}

impl Decoder {
    /// Loads the autoencoder in the directory `dir`, with latents that have passed `through` a transport if given.
    ///
    /// # Errors
    /// As [`Autoencoder::load`] and [`Through::load`].
    pub fn load(dir: &Path, through: Option<Through>, device: &Device) -> Result<Self> {
        let (model, header) = Autoencoder::load(dir, device)?;
        let transport = through.map(|t| t.load(&header, device)).transpose()?;
        Ok(Self {
            model,
            transport,
            header,
            device: device.clone(),
        })
    }

    /// Decodes latents [n, T * d] to rows of data [n, C * H * W] in the units of the training data.
    ///
    /// # Errors
    /// Device errors; a numerical error if no step of the transport's ODE is small enough.
    pub fn decode(&self, latents: Vec<f32>) -> Result<Vec<f32>> {
        let latents = match &self.transport {
            Some(transport) => transport.back(&latents, &|_| Ok(()))?.values,
            None => latents,
        };
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

    /// Decoded rows in column `column`, as images.
    pub(super) fn images(&self, column: usize) -> Images {
        Images {
            column,
            shape: self.header.shape,
            range: [0.0, self.header.maximum],
        }
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
                    &format!("those of the training data, which it divides by {maximum}"),
                ),
                ("maximum".to_owned(), Attribute::Float(maximum)),
            ],
        }
    }
}
