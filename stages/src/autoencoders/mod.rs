//! Encoders, decoders and posteriors.

mod config;
mod convolutional;
mod data;
mod dense;
mod image_grid;
mod latents;
mod model;
mod points;
mod shape;
mod stored;

pub use config::{ArchitectureConfig, LatentConfig, Posterior, Reconstruction};
pub(crate) use convolutional::halving_layers;
pub use data::{Data, DataConfig, Demands};
pub(crate) use dense::{linear_layers, through};
pub use image_grid::{write_image_grid, write_images};
pub use latents::{Latents, PartLatents};
pub use model::{Autoencoder, DataShape, Encoding};
pub use points::Points;
pub use shape::refuse_channels_last;
pub use stored::AutoencoderHeader;
