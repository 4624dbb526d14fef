//! Encoders, decoders and posteriors.

mod config;

pub use config::{ArchitectureConfig, LatentConfig, Posterior, Reconstruction};
