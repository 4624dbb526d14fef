//! Decodes rows of latents to data, with a picture of the first ones.

use super::columns::{self, Column};
use super::decoder::{Decoder, Through};
use super::encode::rows_at_once;
use super::grid::{Grid, Images};
use super::lineage::Lineage;
use super::rows;
use super::work::{Keep, Work};
use crate::context::Monitor;
use crate::data::{Dataset, SourceConfig};
use crate::error::{Error, Result};
use crate::persist::Partial;
use burn::tensor::Device;
use std::path::Path;

/// Decodes all rows of a dataset.
pub struct Decode {
    decoder: Decoder,
    dataset: Dataset,
    /// The output dataset.
    column: Column,
    /// Whether the file records the models of its latents.
    says_its_space: bool,
}

impl Decode {
    /// Decodes the latents of `source`, which have passed `through` a transport if given, with the autoencoder in
    /// the directory `dir` with lineage `own`, to the dataset `name`.
    ///
    /// # Errors
    /// File errors for the autoencoder in `dir`; as [`Dataset::open`]; input errors for rows of another shape, and
    /// for latents of another autoencoder.
    pub fn open(
        dir: &Path,
        through: Option<Through>,
        source: &SourceConfig,
        own: &Lineage,
        name: &str,
        device: &Device,
    ) -> Result<Self> {
        let decoder = Decoder::load(dir, through, device)?;
        let dataset = source.open()?;
        let (held, latent) = (&dataset.shape()[1..], &decoder.header.latent);
        let (tokens, width) = (latent.tokens, latent.width);
        if held != [tokens, width] && held != [tokens * width] {
            return Err(Error::input(format!(
                "{}: found rows of shape {held:?}, expected latents [N, {tokens}, {width}], as \
                 produced by the autoencoder; encode the data with this run",
                dataset.describe()
            )));
        }
        let theirs = Lineage::of(&dataset);
        theirs.refuse_to_decode(own, &dataset)?;
        Ok(Self {
            says_its_space: theirs != Lineage::default(),
            column: decoder.column(name),
            decoder,
            dataset,
        })
    }

    /// Whether the file records the models of its latents.
    pub fn says_its_space(&self) -> bool {
        self.says_its_space
    }

    /// Writes the rows of `partial` to the HDF5 file `path`.
    ///
    /// # Errors
    /// File errors.
    pub fn write(&self, partial: &mut Partial, path: &Path) -> Result<()> {
        columns::write(partial, std::slice::from_ref(&self.column), path)
    }

    /// Describes the output.
    pub fn written(&self) -> String {
        self.column.written(self.dataset.items())
    }

    /// Checks that its rows are images that can be shown.
    ///
    /// # Errors
    /// An input error if not.
    pub fn require_images(&self) -> Result<()> {
        Images::require(Some(self.decoder.images(0)), &self.column.shape)
    }

    /// Writes a PNG of the first images of `partial`.
    ///
    /// # Errors
    /// File errors.
    pub fn write_grid(&self, partial: &mut Partial, grid: Grid, path: &Path) -> Result<()> {
        let columns = std::slice::from_ref(&self.column);
        (self.decoder.images(0)).write(partial, columns, grid, path)
    }
}

impl Work for Decode {
    fn task(&self) -> &'static str {
        "rows"
    }

    fn total(&self) -> usize {
        self.dataset.items()
    }

    fn row_bytes(&self) -> usize {
        columns::row_bytes(std::slice::from_ref(&self.column))
    }

    fn compute(&self, from: usize, _monitor: &dyn Monitor, keep: Keep) -> Result<()> {
        let step = rows_at_once(self.decoder.header.shape);
        rows::each(&self.dataset, from, step, None, |_, latents| {
            let data = self.decoder.decode(latents.to_vec())?;
            keep(bytemuck::cast_slice(&data))
        })
    }
}
