//! Calls into `latent_align_stages` that its other branches bring.
//!
//! INTEGRATION: each function below is one call that does not exist in this branch's `stages`. When it
//! does, replace the function by the call in its comment, and delete this file.

use crate::cli::import::ImportConfig;
use latent_align_stages::context::{Context, Summary};
use latent_align_stages::{Error, Result};
use std::path::Path;

fn absent<T>(what: &str) -> Result<T> {
    Err(Error::input(format!("{what} is not part of this build")))
}

/// `latent_align_stages::flows::stored_width(dir)`
pub fn stored_width(_dir: &Path) -> Result<usize> {
    absent("reading the width of a finished flow")
}

/// `latent_align_stages::flows::import(config, context)`
pub fn import(_config: &ImportConfig, _context: &Context) -> Result<Summary> {
    absent("import")
}
