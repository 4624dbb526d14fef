//! `latent-align sweep FILE`

use super::OverrideArguments;
use crate::console::Console;
use crate::failure::Unmet;
use crate::store::Store;
use crate::sweep::{load, sweep};
use anyhow::{Result, bail};
use clap::Args;
use std::path::PathBuf;

/// Options of `sweep`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The sweep's YAML file; --set and --device apply to every trial of it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    overrides: OverrideArguments,
}

/// Runs the trials and prints their table, and the path where it was written.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let loaded = load(&arguments.file, &arguments.overrides.overrides()?)?;
    let swept = sweep(&loaded, store, console)?;
    console.print(&format!(
        "# {}\n\n{}\n{}\n",
        loaded.name,
        swept.table,
        swept.file.display()
    ))?;
    if !swept.failed.is_empty() {
        bail!(
            "{} of {} trials failed: {}",
            swept.failed.len(),
            swept.trials,
            swept.failed.join(", ")
        );
    }
    if !swept.missed.is_empty() {
        let missed = swept.missed.join("\n  ");
        return Err(Unmet(format!(
            "{} claims of the sweep do not hold; everything was computed and written\n  {missed}",
            swept.missed.len()
        ))
        .into());
    }
    Ok(())
}
