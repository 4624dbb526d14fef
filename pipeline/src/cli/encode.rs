//! `latent-align encode RUN FILE --out FILE`

use super::applied::Applied;
use super::sequences::{Command, refuse};
use crate::console::Console;
use crate::inference::{Input, Job, Models, Output, dataset_of};
use crate::store::Store;
use anyhow::Result;
use clap::{Args, ValueEnum};
use latent_align_stages::inference::{Encode, Latent};
use serde_json::json;
use std::path::PathBuf;

/// Options of `encode`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    applied: Applied,
    /// The HDF5 file of images or vectors, of the shape and range that the autoencoder was trained on; for a model
    /// of sequences, a text file with one per line
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The dataset of FILE [default: the one the run was trained on, or the only one]
    #[arg(long)]
    dataset: Option<String>,
    /// What to write for each row, if the posterior has noise
    #[arg(long, value_enum, default_value_t)]
    latents: Latents,
    /// The seed of the draws
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// What to write for each row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Latents {
    /// The mean of its posterior, as dataset `means`.
    #[default]
    Means,
    /// A draw from its posterior, as dataset `latents`.
    Draws,
    /// Both.
    Both,
}

impl From<Latents> for Latent {
    fn from(latents: Latents) -> Self {
        match latents {
            Latents::Means => Self::Mean,
            Latents::Draws => Self::Draw,
            Latents::Both => Self::Both,
        }
    }
}

/// Encodes every row, and prints where the latents are and which space they are in.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let Arguments {
        applied,
        file,
        dataset,
        latents,
        seed,
    } = arguments;
    let output = Output::new(&applied.out, applied.force)?;
    let models = Models::find(store, &applied.run)?;
    if let Some(model) = models.of_sequences()? {
        let draws = *latents != Latents::Means;
        refuse(&[("--latents", draws), ("--seed", *seed != 0)])?;
        return Command::new(applied, output, model, store, console)
            .encode(file, dataset.as_deref());
    }
    let autoencoder = models.autoencoder()?;
    let usual = autoencoder.model.data_dataset().unwrap_or("images");
    let dataset = dataset_of(file, dataset.as_deref(), &[usual])?;
    let input = Input::open(file, &dataset, store)?;
    let latent = Latent::from(*latents);
    let device = applied.device()?.open()?;
    let work = Encode::open(
        &autoencoder.model.dir,
        autoencoder.through(),
        &input.source(),
        latent,
        *seed,
        &device,
    )?;
    let lineage = autoencoder.lineage();
    let of = match &lineage.flow {
        Some(flow) => format!("points of the flow {flow}{}", autoencoder.told()),
        None => "aligned with no flow".to_owned(),
    };
    let written = format!("{} ({of})", work.written().join("; "));
    let job = Job {
        name: "encode",
        console,
        input: Some(&input),
        about: applied.about([
            ("autoencoder", autoencoder.identity()),
            ("latents", format!("{latents:?}").into()),
            ("seed", json!(seed)),
        ]),
    };
    job.run(
        &work,
        output,
        |partial, file| work.write(partial, &lineage, file),
        &written,
    )?;
    Ok(())
}
