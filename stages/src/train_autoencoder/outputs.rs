//! What the stage writes about the data: reconstructions and latents.

use super::{CHUNK, Config, streams};
use crate::autoencoders::{Autoencoder, Data, DataShape, write_image_grid};
use crate::context::{Context, Summary};
use crate::error::Result;
use crate::features::{Attribute, OutData, Part, write_datasets};
use crate::tensors::{scalar, to_f32};

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

impl Outputs<'_> {
    /// Held-out reconstruction errors, and the first reconstructions as HDF5 and as a picture.
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
        let (mut term, mut squared) = (0.0, 0.0);
        let mut first = Vec::new();
        for chunk in rows.chunks(CHUNK * size) {
            let share = chunk.len() as f64 / rows.len() as f64;
            let original = data.tensor(chunk.to_vec(), &context.device);
            // the mean of a Gaussian posterior
            let decoded = model.decode(model.encode(original.clone()).mean);
            let reconstructed = config.reconstruction.data(decoded.clone());
            let losses =
                model.reconstruction_losses(config.reconstruction, decoded, original.clone());
            term += share * scalar(losses.mean())?;
            let error = (reconstructed.clone() - original).square().mean();
            squared += share * scalar(error)?;
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
        if height > 1 {
            // of images in [0, 1]
            summary.add("held-out PSNR (dB)", -10.0 * squared.log10());
        }
        Ok(())
    }

    /// The latents of both splits, in file order. Returns those of held-out rows [n * T, d].
    pub fn write_latents(&self) -> Result<Vec<f32>> {
        let Self {
            model,
            config,
            data,
            context,
        } = *self;
        let latent = &config.latent;
        let streams = streams(context);
        let of_part = |part: Part, stream: &str| -> Result<(Vec<f32>, Vec<i64>)> {
            let (mut latents, mut items) = (Vec::new(), Vec::new());
            data.ingest.for_each_block(part, &mut |ids, rows| {
                for (ids, rows) in ids
                    .chunks(CHUNK)
                    .zip(rows.chunks(CHUNK * data.shape.elements()))
                {
                    context.check_cancelled()?;
                    let rows = data.tensor(data.scale.apply(rows), &context.device);
                    let mut rng = streams.at(stream, items.len() as u64);
                    latents.extend(to_f32(model.encode(rows).draw(&mut rng))?);
                    items.extend(ids.iter().map(|&id| id as i64));
                }
                Ok(())
            })?;
            Ok((latents, items))
        };
        let (train, train_items) = of_part(Part::Train, "train latents")?;
        let (held_out, held_out_items) = of_part(Part::HeldOut, "held-out latents")?;
        let shape = |items: &[i64]| [items.len(), latent.tokens, latent.width];
        write_datasets(
            &context.dir.join("latents.h5"),
            &[
                ("train_latents", &shape(&train_items), OutData::F32(&train)),
                (
                    "train_items",
                    &[train_items.len()],
                    OutData::I64(&train_items),
                ),
                (
                    "held_out_latents",
                    &shape(&held_out_items),
                    OutData::F32(&held_out),
                ),
                (
                    "held_out_items",
                    &[held_out_items.len()],
                    OutData::I64(&held_out_items),
                ),
            ],
            &[("space", Attribute::Text("points of the flow".into()))],
        )?;
        Ok(held_out)
    }
}
