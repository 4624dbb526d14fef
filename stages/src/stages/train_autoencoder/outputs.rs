//! Outputs of the stage for the data: reconstructions and latents.

use super::config::{CHUNK, Config};
use crate::autoencoders::{Autoencoder, Coming, LatentsWriter, PartLatents, write_image_grid};
use crate::context::{Context, Summary};
use crate::data::{Attribute, Data, DataShape, OutData, Part, write_datasets};
use crate::error::Result;
use crate::figures::{of_rows, train_autoencoder as names};
use crate::tensors::{scalar, to_f32};
use burn::tensor::Tensor;

/// Reconstructions stored with the artifact.
const RECONSTRUCTIONS: usize = 64;

/// A trained autoencoder and its data.
#[derive(Clone, Copy)]
pub struct Outputs<'a> {
    /// With averaged weights.
    pub model: &'a Autoencoder,
    pub config: &'a Config,
    pub data: &'a Data,
    pub context: &'a Context<'a>,
}

impl Outputs<'_> {
    /// Computes reconstruction errors of the held-out and test parts, and writes the first reconstructions
    /// of the shown part as HDF5 and as a picture. With posterior noise, these decode the mean; the error of
    /// decoded draws is reported too. Returns the share of the variance of the shown part's rows explained
    /// by their reconstructions.
    ///
    /// # Errors
    /// File errors of data and outputs; [`crate::Error::Cancelled`].
    pub fn write_reconstructions(&self, summary: &mut Summary) -> Result<f64> {
        let shown = self.data.ingest.reported();
        let mut of_shown = f64::NAN;
        for &part in self.data.ingest.unseen() {
            let (originals, first, explained) = self.reconstruct(part, summary)?;
            if part == shown {
                of_shown = explained;
                self.write_first_reconstructions(part, &originals, &first)?;
            }
        }
        Ok(of_shown)
    }

    /// Adds the reconstruction errors of `part`; returns its first rows, their reconstructions and the share
    /// of the variance explained.
    fn reconstruct(&self, part: Part, summary: &mut Summary) -> Result<(Vec<f32>, Vec<f32>, f64)> {
        let Self {
            model,
            config,
            data,
            context,
        } = *self;
        let mut rows = data.some_rows(part, self.at_most(part))?;
        let size = data.shape.elements();
        let (mut term, mut squared, mut squared_of_draws) = (0.0, 0.0, None);
        let mut first = Vec::new();
        for (step, chunk) in rows.chunks(CHUNK * size).enumerate() {
            let share = chunk.len() as f64 / rows.len() as f64;
            let original = data.tensor(chunk.to_vec(), &context.device);
            let posterior = model.encode(original.clone());
            let error = |reconstructed: Tensor<4>| -> Result<f64> {
                Ok(share * scalar((reconstructed - original.clone()).square().mean())?)
            };
            if posterior.has_density() {
                let mut rng = context.streams.at("reconstructed draws", step as u64);
                let decoded = model.decode(posterior.draw(&mut rng).latents);
                *squared_of_draws.get_or_insert(0.0) += error(config.reconstruction.data(decoded))?;
            }
            // the mean of a posterior with noise
            let decoded = model.decode(posterior.centre());
            let reconstructed = config.reconstruction.data(decoded.clone());
            let losses =
                model.reconstruction_losses(config.reconstruction, decoded, original.clone());
            term += share * scalar(losses.mean())?;
            squared += error(reconstructed.clone())?;
            if first.len() < RECONSTRUCTIONS * size {
                first.extend(to_f32(reconstructed)?);
            }
        }
        let word = part.word();
        summary.add(of_rows(word, names::RECONSTRUCTION_LOSS), term);
        summary.add(of_rows(word, names::ERROR), squared);
        if let Some(squared) = squared_of_draws {
            summary.add(of_rows(word, names::ERROR_OF_DRAWS), squared);
        }
        if data.shape.height > 1 {
            // for images in [0, 1]
            summary.add(of_rows(word, names::PSNR), -10.0 * squared.log10());
        }
        let explained = 1.0 - squared / variance(&rows, size);
        summary.add(of_rows(word, names::EXPLAINED), explained);
        first.truncate(RECONSTRUCTIONS * size);
        rows.truncate(first.len());
        Ok((rows, first, explained))
    }

    /// Maximum number of rows of `part` that are evaluated.
    pub fn at_most(&self, part: Part) -> usize {
        match part {
            Part::Test => self.config.test.at_most,
            _ => self.config.held_out.at_most,
        }
    }

    fn write_first_reconstructions(
        &self,
        part: Part,
        originals: &[f32],
        first: &[f32],
    ) -> Result<()> {
        let Self { data, context, .. } = *self;
        let DataShape {
            channels,
            height,
            width,
        } = data.shape;
        let shape = [first.len() / data.shape.elements(), channels, height, width];
        write_datasets(
            &context.dir.join("reconstructions.h5"),
            &[
                ("originals", &shape, OutData::F32(originals)),
                ("reconstructions", &shape, OutData::F32(first)),
            ],
            &[("part", Attribute::Text(part.word().into()))],
        )?;
        let picture = context.dir.join("reconstructions.png");
        let painted = write_image_grid(&picture, originals, first, data.shape)?;
        if !painted && height > 1 {
            context.monitor.warn(&format!(
                "no picture of the reconstructions: found {channels} channels, expected 1 or 3"
            ));
        }
        Ok(())
    }

    /// Writes the latents of all parts in file order, chunk by chunk: draws if the posterior has noise, and their means
    /// for held-out and test rows. Returns those of held-out and test rows; the part to show is last.
    ///
    /// # Errors
    /// File errors of data and outputs; [`crate::Error::Cancelled`].
    pub fn write_latents(&self) -> Result<Vec<(Part, PartLatents)>> {
        let Self {
            config,
            data,
            context,
            ..
        } = *self;
        context.monitor.phase("latents of every row");
        let unseen = data.ingest.unseen();
        let coming = [Part::Train].iter().chain(unseen).map(|&part| Coming {
            part,
            rows: data.ingest.part_rows(part),
            means: config.posterior.kind().has_density(),
        });
        let shape = [config.latent.tokens, config.latent.width];
        let coming: Vec<_> = coming.collect();
        let mut writer = LatentsWriter::create(&coming, shape, &context.dir)?;
        // those of training rows may not fit into memory
        self.each_latents(Part::Train, &mut |rows| writer.append(Part::Train, rows))?;
        let mut kept = Vec::new();
        for &part in unseen {
            let mut latents = PartLatents::default();
            self.each_latents(part, &mut |rows| {
                latents.extend(rows);
                writer.append(part, rows)
            })?;
            kept.push((part, latents));
        }
        writer.commit()?;
        Ok(kept)
    }

    /// Calls `f` with the latents of the rows of `part`, in file order.
    fn each_latents(
        &self,
        part: Part,
        f: &mut dyn FnMut(&PartLatents) -> Result<()>,
    ) -> Result<()> {
        let Self {
            model,
            data,
            context,
            ..
        } = *self;
        let stream = match part {
            Part::Train => "train latents",
            Part::HeldOut => "held-out latents",
            Part::Test => "test latents",
        };
        let mut done = 0;
        data.ingest.for_each_block(part, &mut |ids, rows| {
            for (ids, rows) in ids
                .chunks(CHUNK)
                .zip(rows.chunks(CHUNK * data.shape.elements()))
            {
                context.check_cancelled()?;
                let rows = data.tensor(data.rows(ids, rows), &context.device);
                let mut rng = context.streams.at(stream, done);
                let posterior = model.encode(rows);
                f(&PartLatents {
                    items: ids.iter().map(|&id| id as i64).collect(),
                    values: to_f32(posterior.draw(&mut rng).latents)?,
                    means: match posterior.has_density() {
                        true => Some(to_f32(posterior.centre())?),
                        false => None,
                    },
                })?;
                done += ids.len() as u64;
            }
            Ok(())
        })
    }
}

/// The variance of the elements of `rows`, each of `size`, over rows; mean over elements.
fn variance(rows: &[f32], size: usize) -> f64 {
    let count = (rows.len() / size) as f64;
    let mut means = vec![0.0f64; size];
    for row in rows.chunks(size) {
        for (mean, &value) in means.iter_mut().zip(row) {
            *mean += f64::from(value) / count;
        }
    }
    let squares = rows.chunks(size).flat_map(|row| row.iter().zip(&means));
    let squares: f64 = squares
        .map(|(&v, mean)| (f64::from(v) - mean).powi(2))
        .sum();
    squares / rows.len() as f64
}
