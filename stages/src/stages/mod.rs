//! The five stages, each from its configuration to its figures.

pub mod estimate_nll;
pub mod evaluate_latents;
pub mod pretrain_flow;
pub mod reference;
pub mod train_autoencoder;
pub mod train_classifier;
