//! Encoders, decoders and posteriors.

mod config;
mod image_grid;
mod latents;
mod model;
mod points;
mod stored;

pub use config::{AutoencoderHeader, LatentConfig, Posterior, Reconstruction};
pub use image_grid::{write_image_grid, write_images};
pub use latents::{Latents, PartLatents};
pub use model::{Autoencoder, Encoding};
pub use points::Points;
