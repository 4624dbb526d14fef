//! A variational autoencoder of sequences (Bowman et al. 2016, arXiv 1511.06349): the baseline for flows over
//! sequences in search. Its decoding is not exact.

mod config;
mod model;
mod network;
#[cfg(test)]
mod tests;
mod training;

pub use config::SequenceVae;
pub use model::{FILE, SequenceVaeModel};
