//! A variational autoencoder of sequences (Bowman et al. 2016, arXiv 1511.06349): what a flow over sequences is compared
//! with in search. Its decoding is not exact.

mod config;
mod model;
mod network;
#[cfg(test)]
mod tests;
mod training;

pub use config::SequenceVae;
pub use model::{FILE, SequenceVaeModel};
