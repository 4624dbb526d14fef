//! Names that commands had in older versions: they work, and no help, completion or manual shows them.

use super::show::{self, Former as Of};
use super::{compare, generate};
use crate::console::Console;
use crate::store::Store;
use anyhow::Result;
use clap::{Args, Subcommand};

// A comment of the kind that documents would be the first line of --help: clap takes it from a flattened enum.
#[derive(Debug, Subcommand)]
pub enum Former {
    /// As `show`; without a THING as `list artifacts`
    #[command(hide = true)]
    Inspect(show::Arguments),
    /// As `show RUN --curves`
    #[command(hide = true)]
    Metrics(show::Arguments),
    /// As `show SWEEP --objective`
    #[command(hide = true)]
    Best(show::Arguments),
    /// As `compare`
    #[command(hide = true)]
    Diff(compare::Arguments),
    /// As `show FILE.h5 --rows 0` and `generate`
    #[command(hide = true)]
    Features(Features),
}

/// Options of `features`.
#[derive(Debug, Args)]
pub struct Features {
    #[command(subcommand)]
    command: FeaturesCommand,
}

#[derive(Debug, Subcommand)]
enum FeaturesCommand {
    /// As `show FILE.h5 --rows 0`
    Scan(Box<show::Arguments>),
    /// As `generate`
    Generate(generate::Arguments),
}

impl Former {
    /// Does what the command of today does.
    pub fn run(self, store: &Store, console: &Console) -> Result<()> {
        match self {
            Self::Inspect(arguments) => show::run_as(Of::Inspect, arguments, store, console),
            Self::Metrics(arguments) => show::run_as(Of::Metrics, arguments, store, console),
            Self::Best(arguments) => show::run_as(Of::Best, arguments, store, console),
            Self::Diff(arguments) => compare::run(&arguments, store, console),
            Self::Features(Features { command }) => match command {
                FeaturesCommand::Scan(arguments) => {
                    show::run_as(Of::Scan, *arguments, store, console)
                }
                FeaturesCommand::Generate(arguments) => Ok(generate::run(&arguments, console)?),
            },
        }
    }
}
