//! The images or vectors that an autoencoder or a classifier reads.

use super::config::{NonFinite, PartConfig, SourceConfig};
use super::element::Element;
use super::ingest::Ingest;
use super::normaliser::Normaliser;
use super::rows::RowView;
use super::shape::DataShape;
use super::split::Part;
use crate::context::Monitor;
use crate::error::{Error, Result};
use crate::problems::Problems;
use crate::tensors::from_f32;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The data of an autoencoder or a classifier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The HDF5 file, relative to the configuration file.
    pub file: PathBuf,
    /// The dataset in it: images [N, C, H, W], or vectors [N, D] or [N, T, D], each item flat; f16, f32, f64
    /// or u8.
    #[serde(default = "default_dataset")]
    pub dataset: String,
    /// What to do with rows that hold NaN or an infinity.
    #[serde(default)]
    pub non_finite: NonFinite,
    /// Values are divided by this; by default 255 for u8 and 1 for real numbers.
    #[serde(default)]
    pub maximum: Option<f64>,
    /// The shape [C, H, W] of an item, for images that the file holds without the axis of their only
    /// channel, [N, H, W], or flat, [N, C * H * W]; by default what the dataset's own axes say.
    #[serde(default)]
    pub shape: Option<[usize; 3]>,
}

fn default_dataset() -> String {
    "images".into()
}

impl DataConfig {
    /// Where the data is.
    pub fn source(&self) -> SourceConfig {
        SourceConfig {
            file: self.file.clone(),
            dataset: self.dataset.clone(),
            non_finite: self.non_finite,
        }
    }

    /// Notes every value out of range.
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

/// What a stage asks of its data.
#[derive(Debug, Clone, Copy)]
pub struct Demands<'a> {
    /// The stage's key in the configuration, for messages.
    pub stage: &'static str,
    /// Which rows are held out, and which are tested on.
    pub parts: [&'a PartConfig; 2],
    /// Whether it takes images alone, as convolutions do.
    pub images_only: bool,
    /// Rows a step.
    pub batch: usize,
    /// Vectors, as images always, have to lie between 0 and the maximum.
    pub bounded: bool,
}

/// The data, scanned and found good.
pub struct Data {
    /// The dataset, its split and its scan.
    pub ingest: Ingest,
    /// Divides by the maximum.
    pub scale: Normaliser,
    /// What values are divided by.
    pub maximum: f64,
    /// The shape of a row.
    pub shape: DataShape,
}

impl Data {
    /// Opens and scans the data of `config`; what is drawn for a part is drawn by `seed`.
    ///
    /// # Errors
    /// Everything [`Ingest::read`] refuses; a shape that does not fit what goes through; too few rows;
    /// values out of range.
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
        let bounded = shape.height > 1 || demands.bounded;
        if bounded && (least < 0.0 || most > maximum) {
            return Err(Error::input(format!(
                "{}: found values from {least} to {most}, expected 0 to {maximum}; {}",
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
        })
    }

    /// Up to `at_most` rows of `part`, divided by the maximum; see [`Ingest::some_rows`].
    ///
    /// # Errors
    /// As [`Ingest::some_rows`].
    pub fn some_rows(&self, part: Part, at_most: usize) -> Result<Vec<f32>> {
        Ok(self.scale.apply(&self.ingest.some_rows(part, at_most)?))
    }

    /// Rows on the host -> [B, C, H, W].
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
