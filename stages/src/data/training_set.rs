//! Images or vectors for an autoencoder or a classifier.

use super::binarise::{Binarise, Binariser};
use super::config::{NonFinite, PartConfig, SourceConfig};
use super::files::Files;
use super::ingest::Ingest;
use super::normaliser::Normaliser;
use super::rows::{RowBlock, RowView};
use super::shape::DataShape;
use super::split::Part;
use crate::context::Monitor;
use crate::error::{Error, Result};
use crate::problems::Problems;
use crate::random::Streams;
use crate::tensors::from_f32;
use burn::tensor::{Device, Tensor};
use latent_align_hdf5::Element;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The data of an autoencoder or a classifier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The HDF5 file, relative to the configuration file; or several whose datasets follow each other, as a list or
    /// as a pattern such as images-*.h5.
    pub file: Files,
    /// The dataset in that file: images [N, C, H, W], or vectors [N, D] or [N, T, D], each item flat; f16, f32, f64
    /// or u8.
    #[serde(default = "default_dataset")]
    pub dataset: String,
    /// What to do with rows that contain NaN or infinity.
    #[serde(default)]
    pub non_finite: NonFinite,
    /// Divisor of the values; by default 255 for u8 and 1 for real numbers.
    #[serde(default)]
    pub maximum: Option<f64>,
    /// The shape [C, H, W] of an item, for images stored without the axis of a single channel, [N, H, W], or flat,
    /// [N, C * H * W]; by default the dataset's own axes.
    #[serde(default)]
    pub shape: Option<[usize; 3]>,
}

fn default_dataset() -> String {
    "images".into()
}

impl DataConfig {
    /// Location of the data.
    pub fn source(&self) -> SourceConfig {
        SourceConfig {
            file: self.file.clone(),
            dataset: self.dataset.clone(),
            non_finite: self.non_finite,
        }
    }

    /// Reports every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        if let Some(maximum) = self.maximum {
            problems.positive("maximum", maximum, "255");
        }
        if let Some(shape) = self.shape {
            problems.require(
                shape.iter().all(|n| (1..=1 << 26).contains(n)),
                "shape",
                format!("{shape:?}"),
                "three sizes of 1 to 67108864, such as [1, 28, 28]",
            );
        }
    }
}

/// Requirements of a stage on its data.
#[derive(Debug, Clone, Copy)]
pub struct Demands<'a> {
    /// The stage's key in the configuration, for messages.
    pub stage: &'static str,
    /// The held-out and the test part.
    pub parts: [&'a PartConfig; 2],
    /// Whether it needs images, as convolutions do.
    pub images_only: bool,
    /// Rows per step.
    pub batch: usize,
    /// Vectors must lie between 0 and the maximum, as images always must, since the reconstruction is a likelihood
    /// in nats.
    pub bounded: bool,
    /// Values divided by the maximum are probabilities of the requested binary data.
    pub binarise: Option<Binarise>,
}

/// The scanned and validated data.
pub struct Data {
    /// The dataset, its split and its scan.
    pub ingest: Ingest,
    /// Division by the maximum.
    pub scale: Normaliser,
    /// Divisor of the values.
    pub maximum: f64,
    /// The shape of a row.
    pub shape: DataShape,
    /// Draws binary data with the values as probabilities; None if the values are the data.
    pub binariser: Option<Binariser>,
}

impl Data {
    /// Opens and scans the data of `config`; random choices, of a part or of binary data, are keyed by `seed`.
    ///
    /// # Errors
    /// Errors of [`Ingest::read`]; a shape that does not match the layers; too few rows; values out of range.
    pub fn read(
        config: &DataConfig,
        demands: Demands,
        seed: u64,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        let (source, view) = (config.source(), RowView::Items);
        let ingest = Ingest::read_parts(&source, view, seed, demands.parts, false, monitor)?;
        ingest.warn_of_no_test(monitor);
        let (dataset, scan) = (&ingest.dataset, &ingest.scan);
        let key = format!("{}.data", demands.stage);
        let shape = DataShape::of(dataset, config.shape, demands.images_only, &key)?;
        ingest.require_batch(demands.batch, &format!("{}.batch", demands.stage))?;
        let maximum = config.maximum.unwrap_or(match dataset.element() {
            Element::U8 => 255.0,
            _ => 1.0,
        });
        let [least, most] = scan.range();
        let bounded = shape.height > 1 || demands.bounded || demands.binarise.is_some();
        if bounded && (least < 0.0 || most > maximum) {
            let asks = match (demands.binarise, demands.bounded) {
                (Some(_), _) => format!(", as {}.binarise asks", demands.stage),
                (None, true) => format!(", as {}.reconstruction asks", demands.stage),
                (None, false) => String::new(),
            };
            return Err(Error::input(format!(
                "{}: found values from {least} to {most}, expected 0 to {maximum}{asks}; {}",
                dataset.describe(),
                if least < 0.0 {
                    "rescale the file's values to [0, 1]".to_owned()
                } else {
                    format!("set {}.data.maximum to the largest value", demands.stage)
                },
            )));
        }
        Ok(Self {
            scale: Normaliser::scale(dataset.item_width(), 1.0 / maximum),
            maximum,
            ingest,
            shape,
            binariser: (demands.binarise)
                .map(|when| Binariser::new(when, Streams::of_stage("binarise", seed))),
        })
    }

    /// Up to `at_most` rows of `part`, converted by [`Self::rows`]; see [`Ingest::some_rows`].
    ///
    /// # Errors
    /// As [`Ingest::some_rows`].
    pub fn some_rows(&self, part: Part, at_most: usize) -> Result<Vec<f32>> {
        let found = self.ingest.some_rows_of_items(part, at_most)?;
        Ok(self.rows(&found.items, &found.rows))
    }

    /// The `rows` of these `items` from the file, divided by the maximum; with a binariser, the binary data drawn
    /// once for each.
    pub fn rows(&self, items: &[usize], rows: &[f32]) -> Vec<f32> {
        let mut rows = self.scale.apply(rows);
        if let Some(binariser) = &self.binariser {
            binariser.of_items(items, &mut rows);
        }
        rows
    }

    /// The batch of a training `step`, divided by the maximum; with a binariser, as binary data.
    pub fn trained_on(&self, step: u64, mut batch: RowBlock) -> Vec<f32> {
        if let Some(binariser) = &self.binariser {
            binariser.of_step(step, &batch.items, &mut batch.rows);
        }
        batch.rows
    }

    /// Equal shares of `rows` on the host, one [B / devices, C, H, W] on each of `devices`.
    pub fn tensors(&self, rows: &[f32], devices: &[Device]) -> Vec<Tensor<4>> {
        let size = rows.len() / devices.len();
        let shares = rows.chunks(size).zip(devices);
        shares
            .map(|(rows, device)| self.tensor(rows.to_vec(), device))
            .collect()
    }

    /// Converts rows on the host to [B, C, H, W].
    pub fn tensor(&self, rows: Vec<f32>, device: &Device) -> Tensor<4> {
        let DataShape {
            channels,
            height,
            width,
        } = self.shape;
        let count = rows.len() / self.shape.elements();
        from_f32(rows, [count, channels, height, width], device)
    }
}
