//! `latent-align decode RUN FILE --out FILE`

use super::applied::{Applied, Picture, grid};
use super::sequences::{Command, refuse};
use crate::console::Console;
use crate::inference::{Input, Job, Models, Output, dataset_of};
use crate::store::Store;
use anyhow::Result;
use clap::Args;
use latent_align_stages::inference::{Decode, Grid};
use std::path::PathBuf;

/// Options of `decode`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    applied: Applied,
    /// The HDF5 file of latents, as `encode` and `sample` write them: [N, T, d] or [N, T * d]
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The dataset of FILE [default: means, latents or points, or the only one]
    #[arg(long)]
    dataset: Option<String>,
    /// Also write a grid of the first images, such as 8x8, to OUT with the ending `.png`
    #[arg(long, value_name = "ROWSxCOLUMNS", value_parser = grid)]
    grid: Option<Grid>,
}

/// Decodes every row, and prints where the data was written.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let Arguments {
        applied,
        file,
        dataset,
        grid,
    } = arguments;
    let output = Output::new(&applied.out, applied.force)?;
    let picture = Picture::beside(applied, *grid)?;
    let models = Models::find(store, &applied.run)?;
    if let Some(model) = models.of_sequences()? {
        refuse(&[("--grid", grid.is_some())])?;
        return Command::new(applied, output, model, store, console)
            .decode(file, dataset.as_deref());
    }
    let autoencoder = models.autoencoder()?;
    let dataset = dataset_of(file, dataset.as_deref(), &["means", "latents", "points"])?;
    let input = Input::open(file, &dataset, store)?;
    let name = autoencoder.model.data_name();
    let work = Decode::open(
        &autoencoder.model.dir,
        autoencoder.through(),
        &input.source(),
        &autoencoder.lineage(),
        &name,
        &applied.device()?.open()?,
    )?;
    let mut written = work.written() + &autoencoder.told();
    if autoencoder.through().is_some() && !work.says_its_space() {
        written += "; the file does not say which latents it holds; they are assumed to be those of the transport";
    }
    if let Some(picture) = &picture {
        work.require_images()?;
        written += &picture.told();
    }
    let job = Job {
        name: "decode",
        console,
        input: Some(&input),
        about: applied.about([("autoencoder", autoencoder.identity())]),
    };
    job.run(
        &work,
        output,
        |partial, file| {
            if let Some(picture) = &picture {
                picture.fill(|grid, file| work.write_grid(partial, grid, file))?;
            }
            work.write(partial, file)
        },
        &written,
    )?;
    Ok(())
}
