//! `latent-align config [CONFIG] [--defaults | --schema]`

use super::OverrideArguments;
use crate::config;
use crate::console::Console;
use anyhow::{Context as _, Result};
use clap::Args;
use std::path::PathBuf;

/// Options of `config`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Print this experiment with every default and override in place and all paths absolute
    #[arg(
        value_name = "CONFIG",
        required_unless_present_any = ["defaults", "schema"],
        conflicts_with_all = ["defaults", "schema"]
    )]
    config: Option<PathBuf>,
    /// Print every key with its documentation and default, as YAML
    #[arg(long, conflicts_with = "schema")]
    defaults: bool,
    /// Print the JSON Schema, for editors
    #[arg(long)]
    schema: bool,
    #[command(flatten)]
    overrides: OverrideArguments,
}

/// Prints what was asked for.
pub fn run(arguments: &Arguments, console: &Console) -> Result<()> {
    let text = match &arguments.config {
        Some(file) => {
            let loaded = config::load(file, &arguments.overrides.overrides()?)?;
            serde_yaml::to_string(&loaded.experiment)
                .context("the configuration cannot be written")?
        }
        None if arguments.schema => config::json_schema()?,
        None => config::commented_defaults()?,
    };
    console.print(&text)
}
