//! `latent-align list [runs | sweeps | artifacts]`

use crate::catalogue::{Catalogue, artifacts, sweeps};
use crate::console::Console;
use crate::store::Store;
use crate::sweep::is_rung;
use crate::tables::{OutputArguments, Query};
use anyhow::Result;
use clap::{Args, ValueEnum};
use std::fmt::Write as _;

/// Options of `list`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to list
    #[arg(value_enum, default_value_t)]
    what: What,
    /// Include the history of runs (their earlier configurations, as NAME@NUMBER) and the rungs of sweeps
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    query: Query,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, ValueEnum)]
enum What {
    /// Runs with their state, settings and figures
    #[default]
    Runs,
    /// Sweeps with the states of their trials
    Sweeps,
    /// Artifacts of all stages
    Artifacts,
}

/// Prints the table.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    store.must_be_listed()?;
    let output = arguments.output.open()?;
    let mut catalogue = Catalogue::of(store);
    let (runs, trials, entries);
    let mut notes = String::new();
    let (source, none) = match arguments.what {
        What::Runs => {
            let (shown, older): (Vec<_>, Vec<_>) = (catalogue.history().into_iter())
                .partition(|entry| entry.is_newest || arguments.all);
            if !older.is_empty() {
                let count = older.len();
                notes = format!("\n({count} older entries of these runs; --all shows them)\n");
            }
            let names = shown.into_iter().map(|entry| entry.folder);
            let (rungs, names): (Vec<_>, Vec<_>) =
                names.partition(|name| is_rung(name) && !arguments.all);
            if !rungs.is_empty() {
                let count = rungs.len();
                let _ = writeln!(
                    notes,
                    "\n({count} runs of rungs of sweeps; --all shows them)"
                );
            }
            runs = catalogue.runs(&names);
            (
                catalogue.table(&runs),
                "No runs yet; `latent-align run CONFIG` makes one.\n",
            )
        }
        What::Sweeps => {
            trials = catalogue.sweeps();
            (
                sweeps(&trials),
                "No sweeps yet; `latent-align sweep FILE` makes one.\n",
            )
        }
        What::Artifacts => {
            entries = catalogue.artifacts(&store.artifacts());
            (artifacts(&catalogue, &entries), NO_ARTIFACTS)
        }
    };
    if source.height == 0 && output.is_text_on_stdout() {
        console.print(none);
        return Ok(());
    }
    let mut frame = arguments.query.run(&source)?;
    output.write_with(&mut frame, &notes, console)
}

/// Printed for a store without artifacts.
pub const NO_ARTIFACTS: &str = "No artifacts yet; `latent-align run CONFIG` makes some.\n";
