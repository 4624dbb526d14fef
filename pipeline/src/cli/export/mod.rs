//! `latent-align export tensorboard RUN`, `export safetensors RUN` and `export onnx RUN`

mod exported;
mod onnx;
mod safetensors;
mod tensorboard;

use crate::console::Console;
use crate::store::Store;
use anyhow::Result;
use clap::{Args, Subcommand};

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
    /// Weights, checked against their digests, and optionally arrays, for PyTorch, JAX or numpy
    Safetensors(safetensors::Arguments),
    /// Encoder and decoder as computation graphs, for ONNX Runtime and whatever else reads them
    Onnx(onnx::Arguments),
}

/// Runs the export.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let page = match &arguments.command {
        Command::Tensorboard(arguments) => tensorboard::run(arguments, store)?,
        Command::Safetensors(arguments) => safetensors::run(arguments, store)?,
        Command::Onnx(arguments) => onnx::run(arguments, store)?,
    };
    console.print(&page);
    Ok(())
}
