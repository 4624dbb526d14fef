//! `latent-align config [CONFIG] [--defaults | --schema [experiment|sweep]]`

use super::arguments::{OverrideArguments, load_experiment};
use crate::config;
use crate::console::Console;
use crate::sweep::SweepFile;
use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
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
    /// Print the JSON Schema of experiments or sweeps, for editors
    #[arg(long, value_name = "FILE", value_enum, num_args = 0..=1, default_missing_value = "experiment")]
    schema: Option<Schema>,
    #[command(flatten)]
    overrides: OverrideArguments,
}

/// A kind of file that users write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Schema {
    /// Read by `run`.
    Experiment,
    /// Read by `sweep`.
    Sweep,
}

/// Prints the requested configuration.
pub fn run(arguments: &Arguments, console: &Console) -> Result<()> {
    let text = match (&arguments.config, arguments.schema) {
        (Some(file), _) => {
            let loaded = load_experiment(file, &arguments.overrides.overrides()?)?;
            serde_yaml::to_string(&loaded.experiment)
                .context("the configuration cannot be written")?
        }
        (None, Some(Schema::Experiment)) => config::experiment_schema()?,
        (None, Some(Schema::Sweep)) => config::json_schema::<SweepFile>()?,
        (None, None) => config::commented_defaults()?,
    };
    console.print_for_programs(&text);
    Ok(())
}
