//! What every stage's loop shares.

mod config;

pub use config::OptimiserConfig;
