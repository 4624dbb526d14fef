//! What commands that apply a run's models have in common.

use super::devices::DeviceName;
use clap::Args;
use latent_align_stages::Result;
use latent_align_stages::devices::{DeviceChoice, forms};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// A run, and where what comes out goes.
#[derive(Debug, Args)]
pub struct Applied {
    /// A run by name, the folder of a run or of an artifact, or four or more characters of a fingerprint
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// The file to write; until it is whole, rows are kept in OUT.partial, from which the same command goes on
    #[arg(long, value_name = "OUT")]
    pub out: PathBuf,
    /// Replace the file of --out, and start anew where another command was interrupted
    #[arg(long)]
    pub force: bool,
    /// Where to compute
    #[arg(long, default_value = "cpu", value_parser = DeviceName, hide_possible_values = true)]
    #[arg(help = format!("Where to compute: {}", forms("")))]
    device: String,
}

impl Applied {
    /// The device.
    ///
    /// # Errors
    /// An input error for a name that is none.
    pub fn device(&self) -> Result<DeviceChoice> {
        self.device.parse()
    }

    /// What rows depend on: `models and options`, and the device.
    pub fn about<const N: usize>(&self, pairs: [(&str, Value); N]) -> Map<String, Value> {
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value));
        let device = ("device".to_owned(), self.device.clone().into());
        pairs.into_iter().chain([device]).collect()
    }
}
