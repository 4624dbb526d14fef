//! What every stage's loop shares.

mod adamw;
mod config;
mod divergence;
mod initialise;
mod optimiser;
mod resume;
mod running_mean;

pub use crate::persist::{Snapshot, load_weights, save_weights};
pub use crate::random::{Streams, normal, stratified_times}; // until the pipeline names its new room
pub use config::{MatmulPrecision, OptimiserConfig};
pub use divergence::{finite, unless_before};
pub use initialise::initialise;
#[cfg(test)]
pub use initialise::perturb;
pub use optimiser::Trainer;
pub use running_mean::RunningMean; // until the pipeline names its new room
