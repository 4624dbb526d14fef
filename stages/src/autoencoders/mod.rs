//! Encoders, decoders, and free points.

mod config;
#[cfg(test)]
mod fits;
mod image_grid;
mod latents;
mod model;
mod points;
mod stored;
mod top_level;

pub use config::{AutoencoderHeader, LatentConfig, Reconstruction};
pub use image_grid::{is_picture, write_image_grid, write_images, write_images_in_columns};
pub use latents::{Coming, Latents, LatentsWriter, PartLatents};
pub use model::Autoencoder;
pub use points::Points;
pub use top_level::TopLevel;
