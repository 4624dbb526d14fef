//! Latents before training. Collapse can be told from an encoder that never spread its latents only by
//! comparison with these, or with latents without a regulariser.

use super::config::{CHUNK, Config};
use crate::autoencoders::Autoencoder;
use crate::context::Context;
use crate::data::{Attribute, Data, OutData, write_datasets};
use crate::error::Result;
use crate::tensors::to_f32;

/// The file, and its dataset [n, T, d].
pub const FILE: &str = "initial_latents.h5";
pub const DATASET: &str = "initial_latents";

/// The latents [n * T, d] of some rows of the shown part, encoded by `untrained`.
///
/// # Errors
/// File errors of the data; device errors.
pub fn encode(untrained: &Autoencoder, data: &Data, context: &Context) -> Result<Vec<f32>> {
    let rows = data.some_rows(data.ingest.reported(), CHUNK)?;
    let mut rng = context.streams.at("initial latents", 0);
    let posterior = untrained.encode(data.tensor(rows, &context.device));
    to_f32(posterior.draw(&mut rng).latents)
}

/// Writes `latents` if they are regularised towards the flow; otherwise training cannot have made them
/// collapse.
///
/// # Errors
/// A file error if they cannot be written.
pub fn write(latents: &[f32], config: &Config, context: &Context) -> Result<()> {
    if config.regulariser.kind().weight() <= 0.0 {
        return Ok(());
    }
    let [tokens, width] = [config.latent.tokens, config.latent.width];
    let shape = [latents.len() / (tokens * width), tokens, width];
    Ok(write_datasets(
        &context.dir.join(FILE),
        &[(DATASET, &shape, OutData::F32(latents))],
        &[("space", Attribute::Text("points of the flow".into()))],
    )?)
}
