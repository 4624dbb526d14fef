//! `latent-align features scan FILE` and `latent-align features generate KIND`

mod generate;
mod scan;

use crate::console::Console;
use anyhow::Result;
use clap::{Args, Subcommand};

/// Options of `features`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what an HDF5 file holds, and scan the datasets that can be features
    Scan(scan::Arguments),
    /// Write samples of a distribution whose density is known
    Generate(generate::Arguments),
}

/// Scans or generates.
pub fn run(arguments: &Arguments, console: &Console) -> Result<()> {
    match &arguments.command {
        Command::Scan(arguments) => scan::run(arguments, console),
        Command::Generate(arguments) => Ok(generate::run(arguments, console)?),
    }
}
