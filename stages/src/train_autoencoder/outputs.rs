//! What the stage writes about the data: reconstructions and latents.

use super::{CHUNK, Config, streams};
use crate::autoencoders::{Autoencoder, Data, DataShape, write_image_grid};
use crate::context::{Context, Summary};
use crate::error::Result;
use crate::features::{Attribute, OutData, Part, write_datasets};
use crate::tensors::{scalar, to_f32};
use burn::tensor::Tensor;

/// The means of the posteriors of held-out rows in `latents.h5`.
pub const MEANS: &str = "held_out_means";
/// Reconstructions kept with the artifact.
const RECONSTRUCTIONS: usize = 64;

/// A trained autoencoder and what it was trained on.
#[derive(Clone, Copy)]
pub struct Outputs<'a> {
    /// With averaged weights.
    pub model: &'a Autoencoder,
    /// The stage's.
    pub config: &'a Config,
    /// Both splits.
    pub data: &'a Data,
    /// The stage's.
    pub context: &'a Context<'a>,
}

/// Latents of rows, T tokens of each.
#[derive(Default)]
pub struct LatentsOfRows {
    /// The latents, drawn where the posterior has noise [n * T, d].
    pub drawn: Vec<f32>,
    /// The means of posteriors with noise [n * T, d].
    pub means: Option<Vec<f32>>,
}

impl Outputs<'_> {
    /// Held-out reconstruction errors, and the first reconstructions as HDF5 and as a picture; where the
    /// posterior has noise those of its decoded mean, and the error of its decoded draws besides.
    pub fn write_reconstructions(&self, summary: &mut Summary) -> Result<()> {
        let Self {
            model,
            config,
            data,
            context,
        } = *self;
        let rows = data.ingest.held_out_rows(config.held_out.at_most)?;
        let rows = data.scale.apply(&rows);
        let size = data.shape.elements();
        let (mut term, mut squared, mut squared_of_draws) = (0.0, 0.0, None);
        let mut first = Vec::new();
        for (step, chunk) in rows.chunks(CHUNK * size).enumerate() {
            let share = chunk.len() as f64 / rows.len() as f64;
            let original = data.tensor(chunk.to_vec(), &context.device);
            let encoding = model.encode(original.clone());
            let error = |reconstructed: Tensor<4>| {
                Ok(share * scalar((reconstructed - original.clone()).square().mean())?)
            };
            if encoding.has_noise() {
                let mut rng = streams(context).at("reconstructed draws", step as u64);
                let decoded = model.decode(encoding.draw(&mut rng));
                *squared_of_draws.get_or_insert(0.0) += error(config.reconstruction.data(decoded))?;
            }
            // the mean of a posterior with noise
            let decoded = model.decode(encoding.mean);
            let reconstructed = config.reconstruction.data(decoded.clone());
            let losses =
                model.reconstruction_losses(config.reconstruction, decoded, original.clone());
            term += share * scalar(losses.mean())?;
            squared += error(reconstructed.clone())?;
            if first.len() < RECONSTRUCTIONS * size {
                first.extend(to_f32(reconstructed)?);
            }
        }
        first.truncate(RECONSTRUCTIONS * size);
        let originals = &rows[..first.len()];
        let DataShape {
            channels,
            height,
            width,
        } = data.shape;
        let shape = [first.len() / size, channels, height, width];
        write_datasets(
            &context.dir.join("reconstructions.h5"),
            &[
                ("originals", &shape, OutData::F32(originals)),
                ("reconstructions", &shape, OutData::F32(&first)),
            ],
            &[("split", Attribute::Text("held out".into()))],
        )?;
        let picture = context.dir.join("reconstructions.png");
        let painted = write_image_grid(&picture, originals, &first, data.shape)?;
        if !painted && height > 1 {
            context.monitor.warn(&format!(
                "no picture of the reconstructions: found {channels} channels, expected 1 or 3"
            ));
        }
        summary.add("held-out reconstruction loss", term);
        summary.add("held-out mean squared error", squared);
        if let Some(squared) = squared_of_draws {
            summary.add("held-out mean squared error, decoded draws", squared);
        }
        if height > 1 {
            // of images in [0, 1]
            summary.add("held-out PSNR (dB)", -10.0 * squared.log10());
        }
        Ok(())
    }

    /// The latents of both splits, in file order: draws where the posterior has noise, and the means of
    /// those of held-out rows besides. Returns those of held-out rows.
    pub fn write_latents(&self) -> Result<LatentsOfRows> {
        let Self {
            model,
            config,
            data,
            context,
        } = *self;
        let latent = &config.latent;
        let streams = streams(context);
        let of_part = |part: Part, stream: &str| -> Result<(LatentsOfRows, Vec<i64>)> {
            let (mut latents, mut items) = (LatentsOfRows::default(), Vec::new());
            data.ingest.for_each_block(part, &mut |ids, rows| {
                for (ids, rows) in ids
                    .chunks(CHUNK)
                    .zip(rows.chunks(CHUNK * data.shape.elements()))
                {
                    context.check_cancelled()?;
                    let rows = data.tensor(data.scale.apply(rows), &context.device);
                    let mut rng = streams.at(stream, items.len() as u64);
                    let encoding = model.encode(rows);
                    latents.drawn.extend(to_f32(encoding.draw(&mut rng))?);
                    if encoding.has_noise() {
                        let means = latents.means.get_or_insert_default();
                        means.extend(to_f32(encoding.mean)?);
                    }
                    items.extend(ids.iter().map(|&id| id as i64));
                }
                Ok(())
            })?;
            Ok((latents, items))
        };
        let (train, train_items) = of_part(Part::Train, "train latents")?;
        let (held_out, held_out_items) = of_part(Part::HeldOut, "held-out latents")?;
        let shape = |items: &[i64]| [items.len(), latent.tokens, latent.width];
        let held_out_shape = shape(&held_out_items);
        let train_shape = shape(&train_items);
        let (train_count, held_out_count) = ([train_items.len()], [held_out_items.len()]);
        let mut datasets = vec![
            (
                "train_latents",
                &train_shape[..],
                OutData::F32(&train.drawn),
            ),
            ("train_items", &train_count, OutData::I64(&train_items)),
            (
                "held_out_latents",
                &held_out_shape,
                OutData::F32(&held_out.drawn),
            ),
            (
                "held_out_items",
                &held_out_count,
                OutData::I64(&held_out_items),
            ),
        ];
        if let Some(means) = &held_out.means {
            datasets.push((MEANS, &held_out_shape, OutData::F32(means)));
        }
        write_datasets(
            &context.dir.join("latents.h5"),
            &datasets,
            &[("space", Attribute::Text("points of the flow".into()))],
        )?;
        Ok(held_out)
    }
}
