//! The stages of latent-align: their computations.
//!
//! Data flows one way: features -> flow -> autoencoder -> latents -> likelihoods; a classifier of the
//! same data evaluates the latents. A stage receives a typed configuration, the directories of earlier
//! stages, and a [`context::Context`]; it knows nothing of runs, YAML or terminals.
//!
//! Convention of time: `t = 0` is noise and `t = 1` is data, `x_t = (1 - t) * noise + t * data`, and the
//! velocity is `data - noise`.

#![deny(clippy::missing_errors_doc)]

pub mod alignment;
pub mod architectures;
pub mod autoencoders;
pub mod classifiers;
pub mod comparison;
pub mod context;
pub mod data;
mod defaults;
pub mod devices;
pub mod error;
pub mod figures;
pub mod fused;
pub mod gaussian_process;
pub mod inference;
pub mod likelihood;
pub mod numerics;
pub mod optimisation;
pub mod persist;
pub mod posteriors;
pub mod priors;
pub mod problems;
pub mod random;
pub mod sequences;
pub mod stages;
pub mod targets;
pub mod tensors;
pub mod training;
pub mod transport;

pub use error::{Error, Result};
