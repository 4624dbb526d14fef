//! `latent-align export tensorboard RUN` and `latent-align export safetensors RUN`

mod safetensors;
mod tensorboard;

use crate::console::Console;
use crate::export::{Files, Source};
use crate::store::Store;
use anyhow::Result;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// Options of `export`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Learning curves, final figures, configurations and images as event files for TensorBoard
    Tensorboard(tensorboard::Arguments),
    /// Weights, checked against their digests, and on request arrays, for PyTorch, JAX or numpy
    Safetensors(safetensors::Arguments),
}

/// What is exported.
#[derive(Debug, Args)]
struct Exported {
    /// A run by name, the folder of a run or of an artifact, or four or more characters of a fingerprint
    #[arg(value_name = "RUN|FINGERPRINT")]
    what: PathBuf,
    /// Replace files that are there and differ
    #[arg(long)]
    force: bool,
}

impl Exported {
    /// Writes into `out` what `files` makes of it, below a folder of its name, which is the second of
    /// the pair.
    fn write(
        &self,
        store: &Store,
        out: &Path,
        files: impl FnOnce(&Source) -> Result<Files>,
    ) -> Result<(String, PathBuf)> {
        let source = Source::find(store, &self.what)?;
        let dir = out.join(&source.name);
        let written = files(&source)?.write(&dir, self.force)?;
        Ok((written.to_string(), dir))
    }
}

/// Exports.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let page = match &arguments.command {
        Command::Tensorboard(arguments) => tensorboard::run(arguments, store)?,
        Command::Safetensors(arguments) => safetensors::run(arguments, store)?,
    };
    console.print(&page);
    Ok(())
}
