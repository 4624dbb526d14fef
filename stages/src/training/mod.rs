//! What every stage's loop shares.

mod adamw;
mod config;
mod divergence;
mod initialise;
mod optimiser;
mod resume;
mod running_mean;
mod task;

pub use config::{MatmulPrecision, OptimiserConfig};
pub use divergence::{finite, unless_before};
pub use initialise::initialise;
#[cfg(test)]
pub use initialise::perturb;
pub use optimiser::Trainer;
pub use running_mean::RunningMean;
pub use task::{Task, train};
