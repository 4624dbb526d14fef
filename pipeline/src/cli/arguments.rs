//! Arguments that several commands take.

use super::devices::DeviceName;
use crate::config::{Assignment, Overrides};
use anyhow::Result;
use clap::Args;
use latent_align_stages::devices::forms;
use std::path::PathBuf;

/// The experiment of a command line.
#[derive(Debug, Args)]
pub struct ExperimentArguments {
    /// The experiment's YAML file
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    #[command(flatten)]
    pub overrides: OverrideArguments,
}

/// Overrides of values in the file.
#[derive(Debug, Args)]
pub struct OverrideArguments {
    /// Replace a value, as in `--set train_autoencoder.regulariser.weight=0.01`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Replace `device`
    #[arg(long, value_name = "DEVICE", value_parser = DeviceName, hide_possible_values = true)]
    #[arg(help = format!("Replace `device`: {}", forms("")))]
    device: Option<String>,
}

impl OverrideArguments {
    /// The overrides as given.
    ///
    /// # Errors
    /// A `--set` that is not KEY=VALUE.
    pub fn overrides(&self) -> Result<Overrides> {
        let set = self.set.iter().map(|given| Assignment::parse(given));
        Ok(Overrides {
            set: set.collect::<latent_align_stages::Result<_>>()?,
            device: self.device.clone(),
        })
    }
}
