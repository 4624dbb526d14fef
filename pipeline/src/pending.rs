//! Calls into `latent_align_stages` that its other branches bring.
//!
//! INTEGRATION: each function below is one call that does not exist in this branch's `stages`. When it
//! does, replace the function by the call in its comment, and delete this file.

use crate::cli::import::ImportConfig;
use latent_align_stages::context::{Context, Monitor, Summary};
use latent_align_stages::{Error, Result};
use serde_json::Value;
use std::path::Path;

fn absent<T>(what: &str) -> Result<T> {
    Err(Error::input(format!("{what} is not part of this build")))
}

/// `latent_align_stages::flows::stored_width(dir)`
pub fn stored_width(_dir: &Path) -> Result<usize> {
    absent("reading the width of a finished flow")
}

/// What `features::list` and `features::Ingest` say of a file, as text.
pub fn scan(_file: &Path, _dataset: Option<&str>, _monitor: &dyn Monitor) -> Result<String> {
    absent("features scan")
}

/// `latent_align_stages::features::generate(&serde_json::from_value::<Target>(target)?, ...)`, and a
/// line that says what was written.
pub fn generate(
    _target: &Value,
    _out: &Path,
    _count: u64,
    _seed: u64,
    _monitor: &dyn Monitor,
) -> Result<String> {
    absent("features generate")
}

/// `latent_align_stages::flows::import(config, context)`
pub fn import(_config: &ImportConfig, _context: &Context) -> Result<Summary> {
    absent("import")
}
