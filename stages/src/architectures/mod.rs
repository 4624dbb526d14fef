//! Layers shared by autoencoders and classifiers.

mod config;
mod convolutional;
mod dense;

pub use config::ArchitectureConfig;
pub(crate) use convolutional::{Convolutional, halving_layers, through_halving};
pub(crate) use dense::{Dense, linear_layers, through};
