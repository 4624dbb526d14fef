//! `latent-align export safetensors RUN [--out DIR]`

use super::exported::Exported;
use crate::export;
use crate::store::Store;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

/// Options of `export safetensors`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    exported: Exported,
    /// Also export the HDF5 outputs (latents, samples, features of the parts), one tensor per dataset
    #[arg(long)]
    arrays: bool,
    /// The folder to write to: DIR/RUN/STAGE/NAME.safetensors, and DIR/RUN/metadata.json, which describes
    /// the files
    #[arg(long, value_name = "DIR", default_value = "safetensors")]
    out: PathBuf,
}

/// Writes the files, and returns where they are.
pub fn run(arguments: &Arguments, store: &Store) -> Result<String> {
    let files = |source: &export::Source| export::safetensors(source, arguments.arrays);
    let (written, dir) = arguments.exported.write(store, &arguments.out, files)?;
    Ok(format!("{}: {written}\n", dir.display()))
}
