//! `latent-align export onnx RUN [--out DIR]`

use super::exported::Exported;
use crate::export;
use crate::store::Store;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

/// Options of `export onnx`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    exported: Exported,
    /// The folder to write to: DIR/RUN/encoder.onnx and DIR/RUN/decoder.onnx
    #[arg(long, value_name = "DIR", default_value = "onnx")]
    out: PathBuf,
}

/// Writes the files, and returns where they are.
pub fn run(arguments: &Arguments, store: &Store) -> Result<String> {
    let (written, dir) = (arguments.exported).write(store, &arguments.out, export::onnx)?;
    Ok(format!("{}: {written}\n", dir.display()))
}
