//! The alignment loss and its weightings.

mod config;

pub use config::{RegulariserConfig, Weighting};
