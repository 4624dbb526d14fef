//! One trial.

use crate::config::Loaded;
use serde_json::{Map, Value};

/// One variant with one seed.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The variant's name.
    pub variant: String,
    /// The keys it sets, and their values.
    pub settings: Map<String, Value>,
    /// The experiment with the trial's name and seed.
    pub loaded: Loaded,
}

impl Trial {
    /// The name of its run.
    pub fn name(&self) -> &str {
        &self.loaded.experiment.name
    }
}

/// The name of the run of a variant with a seed.
pub fn run_name(sweep: &str, variant: &str, seed: u64) -> String {
    format!("{sweep}.{variant}.seed{seed}")
}
