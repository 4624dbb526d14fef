//! `latent-align features scan FILE` and `latent-align features generate KIND`

use crate::console::Console;
use anyhow::Result;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Options of `features`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what an HDF5 file holds, and scan one of its datasets
    Scan(Scan),
    /// Write samples of a distribution whose density is known
    Generate(Generate),
}

#[derive(Debug, Args)]
struct Scan {
    /// The HDF5 file
    file: PathBuf,
    /// Scan this dataset only; every one that can hold features by default
    #[arg(long)]
    dataset: Option<String>,
}

#[derive(Debug, Args)]
struct Generate {
    /// gaussian, gaussian_ring, gaussian_grid, mixture, moons, rings, spiral, swiss_roll, checkerboard
    kind: String,
    /// The HDF5 file to write
    #[arg(long)]
    out: PathBuf,
    /// Rows
    #[arg(long)]
    count: u64,
    /// The seed of the samples
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A parameter of the distribution as YAML, as in `--param modes=8`; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
}

/// Scans or generates.
pub fn run(arguments: &Arguments, console: &Console) -> Result<()> {
    match &arguments.command {
        Command::Scan(scan) => todo!("{scan:?} {}", console.print("").is_ok()),
        Command::Generate(generate) => todo!("{generate:?}"),
    }
}
