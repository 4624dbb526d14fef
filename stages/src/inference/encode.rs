//! Encodes rows of data to latents, through the transport if there is one.

use super::columns::{self, Column};
use super::decoder::Through;
use super::lineage::Lineage;
use super::rows::{self, Range};
use super::work::{Keep, Work};
use crate::autoencoders::{Autoencoder, AutoencoderHeader};
use crate::context::Monitor;
use crate::data::{Attribute, Binariser, DataShape, Dataset, Normaliser, SourceConfig};
use crate::error::{Error, Result};
use crate::persist::Partial;
use crate::random::Streams;
use crate::tensors::{from_f32, to_f32};
use crate::transport::Transport;
use burn::tensor::Device;
use std::path::Path;

/// Approximate number of elements encoded or decoded at once.
pub(super) const NUMBERS: usize = 1 << 19;
/// Maximum number of rows encoded or decoded at once.
const MOST_ROWS: usize = 4096;

/// Rows of `shape` that pass through an autoencoder at once.
pub(super) fn rows_at_once(shape: DataShape) -> usize {
    (NUMBERS / shape.elements()).clamp(1, MOST_ROWS)
}

/// Which latents to output for a row. Without posterior noise, all are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latent {
    /// Its mean.
    Mean,
    /// A draw.
    Draw,
    /// Both.
    Both,
}

/// Encodes all rows of a dataset.
pub struct Encode {
    model: Autoencoder,
    header: AutoencoderHeader,
    transport: Option<Transport>,
    dataset: Dataset,
    scale: Normaliser,
    latent: Latent,
    streams: Streams,
    device: Device,
}

impl Encode {
    /// Encodes the rows of `source` with the autoencoder in the directory `dir`, and maps latents `through` a
    /// transport if given; draws use `seed`.
    ///
    /// # Errors
    /// As [`Autoencoder::load`], [`Through::load`] and [`Dataset::open`]; an input error for rows of another shape.
    pub fn open(
        dir: &Path,
        through: Option<Through>,
        source: &SourceConfig,
        latent: Latent,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let (model, header) = Autoencoder::load(dir, device)?;
        let transport = through.map(|t| t.load(&header, device)).transpose()?;
        let dataset = source.open()?;
        refuse_another_shape(&dataset, header.shape)?;
        Ok(Self {
            scale: Normaliser::scale(header.shape.elements(), 1.0 / header.maximum),
            streams: Streams::of_stage("encode", seed),
            device: device.clone(),
            latent,
            transport,
            dataset,
            model,
            header,
        })
    }

    /// Writes the rows of `partial` to the HDF5 file `path`: `means` and `latents` (draws) as requested, or
    /// `latents` alone without posterior noise; all [N, T, d]. Attributes give their space, units and `lineage`.
    ///
    /// # Errors
    /// File errors.
    pub fn write(&self, partial: &mut Partial, lineage: &Lineage, path: &Path) -> Result<()> {
        columns::write(partial, &self.columns(lineage), path)
    }

    /// Describes the output: the name, shape and contents of each dataset.
    pub fn written(&self) -> Vec<String> {
        let columns = self.columns(&Lineage::default());
        let of = columns.iter().zip(self.kinds());
        let rows = self.dataset.items();
        of.map(|(column, (_, what))| format!("{}, {what}", column.written(rows)))
            .collect()
    }

    /// Names and contents of the datasets.
    fn kinds(&self) -> Vec<(&'static str, &'static str)> {
        const MEANS: (&str, &str) = ("means", "means of the posterior");
        const DRAWS: (&str, &str) = ("latents", "draws from the posterior");
        if !self.header.posterior.kind().has_density() {
            return vec![("latents", "the latent of each row")];
        }
        match self.latent {
            Latent::Mean => vec![MEANS],
            Latent::Draw => vec![DRAWS],
            Latent::Both => vec![MEANS, DRAWS],
        }
    }

    fn columns(&self, lineage: &Lineage) -> Vec<Column> {
        let latent = &self.header.latent;
        let column = |(name, what): (&'static str, &str)| {
            let mut attributes = lineage.attributes();
            attributes.push(("meaning".to_owned(), Attribute::Text(what.to_owned())));
            Column {
                name: name.to_owned(),
                shape: vec![latent.tokens, latent.width],
                attributes,
            }
        };
        self.kinds().into_iter().map(column).collect()
    }
}

impl Work for Encode {
    fn task(&self) -> &'static str {
        "rows"
    }

    fn total(&self) -> usize {
        self.dataset.items()
    }

    fn row_bytes(&self) -> usize {
        columns::row_bytes(&self.columns(&Lineage::default()))
    }

    fn compute(&self, from: usize, monitor: &dyn Monitor, keep: Keep) -> Result<()> {
        let shape = self.header.shape;
        let range = Range {
            maximum: self.header.maximum,
            bounded: shape.height > 1 || self.header.reconstruction.in_nats(),
        };
        let asked = self.kinds();
        let step = rows_at_once(shape);
        rows::each(&self.dataset, from, step, Some(range), |first, rows| {
            let count = rows.len() / shape.elements();
            let dims = [count, shape.channels, shape.height, shape.width];
            let mut rows = self.scale.apply(rows);
            if let Some(when) = self.header.binarise {
                let items: Vec<usize> = (first..first + count).collect();
                Binariser::new(when, self.streams).of_items(&items, &mut rows);
            }
            let posterior = self.model.encode(from_f32(rows, dims, &self.device));
            let mut found = Vec::new();
            for (name, _) in &asked {
                let latents = to_f32(match *name {
                    "means" => posterior.centre(),
                    _ => {
                        let mut rng = self.streams.at("draws", first as u64);
                        posterior.draw(&mut rng).latents
                    }
                })?;
                found.push(match &self.transport {
                    Some(transport) => {
                        let check = |_| match monitor.cancelled() {
                            true => Err(Error::Cancelled),
                            false => Ok(()),
                        };
                        transport.there(&latents, &check)?.values
                    }
                    None => latents,
                });
            }
            let latents = columns::interleave(&found, count);
            keep(bytemuck::cast_slice(&latents))
        })
    }
}

/// Refuses items of `dataset` that do not have `shape`.
fn refuse_another_shape(dataset: &Dataset, shape: DataShape) -> Result<()> {
    let held = &dataset.shape()[1..];
    if shape.can_be(held) {
        return Ok(());
    }
    let DataShape {
        channels,
        height,
        width,
    } = shape;
    let expected = match height * width {
        1 => format!("rows of {channels} numbers"),
        _ => format!("images [{channels}, {height}, {width}]"),
    };
    let fix = match *held {
        [a, b, last] if [last, a, b] == [channels, height, width] => {
            "move the channels with numpy: `x.transpose(0, 3, 1, 2)`"
        }
        _ => "bring the data to that shape, or name a run that was trained on data of this one",
    };
    Err(Error::input(format!(
        "{}: found items of shape {held:?}, expected {expected}, as the autoencoder was trained on; {fix}",
        dataset.describe()
    )))
}
