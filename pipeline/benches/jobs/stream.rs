//! One batch of rows from an HDF5 file that exceeds the memory limit.

use super::Job;
use burn::tensor::{Device, Tensor};
use latent_align_hdf5::{OutData, write_datasets};
use latent_align_stages::Result;
use latent_align_stages::context::Silent;
use latent_align_stages::data::{
    Batches, Ingest, NonFinite, NormalisationConfig, Normaliser, Part, RowView, SourceConfig, Split,
};
use latent_align_stages::random::Streams;
use latent_align_stages::tensors::from_f32;
use std::path::Path;

/// Rows, shuffled and normalised, on the device.
pub struct Stream {
    batches: Batches,
    shape: [usize; 2],
    device: Device,
}

/// The dataset of the rows.
pub const DATASET: &str = "features";
/// The share of held-out rows.
const HELD_OUT: f64 = 0.01;
/// Memory for rows, in bytes.
pub const MEMORY: usize = 64 << 20;

impl Stream {
    /// Rows of `file` in batches of `batch`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn new(file: &Path, batch: usize, device: &Device) -> Result<Self> {
        let source = SourceConfig {
            file: file.into(),
            dataset: DATASET.to_owned(),
            non_finite: NonFinite::Refuse,
        };
        let split = Split::new(0, HELD_OUT);
        let ingest = Ingest::read(&source, RowView::Tokens, split, false, &Silent)?;
        let normaliser = Normaliser::fit(&NormalisationConfig::default(), &ingest.moments, 0)?;
        let shape = [batch, normaliser.output_width];
        Ok(Self {
            batches: Batches::start(&ingest, Part::Train, normaliser, batch, 0, MEMORY, 0)?,
            shape,
            device: device.clone(),
        })
    }

    /// Writes random rows [rows, width] to `file`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(file: &Path, rows: usize, width: usize) -> Result<()> {
        let values = Streams::new(0).normal("features", 0, rows * width);
        let features = (DATASET, &[rows, width][..], OutData::F32(&values));
        Ok(write_datasets(file, &[features], &[])?)
    }
}

impl Job for Stream {
    fn step(&mut self) -> Result<()> {
        let batch: Tensor<2> = from_f32(self.batches.next()?, self.shape, &self.device);
        drop(batch);
        Ok(())
    }
}
