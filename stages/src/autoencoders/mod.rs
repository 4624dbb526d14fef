//! Encoders, decoders and posteriors.

mod config;
mod convolutional;
mod dense;
mod image_grid;
mod model;
mod points;

pub use config::{ArchitectureConfig, LatentConfig, Posterior, Reconstruction};
pub use image_grid::write_image_grid;
pub use model::{Autoencoder, DataShape, Encoding};
pub use points::Points;
