//! The training loop and its parts.

mod adamw;
mod best;
mod config;
mod divergence;
mod flat;
mod initialise;
mod optimiser;
mod replicas;
mod resume;
mod running_mean;
mod shares;
mod task;

pub use best::Best;
pub use config::{MatmulPrecision, OptimiserConfig};
#[cfg(test)]
pub use initialise::perturb;
pub use initialise::{initialise, initialise_with_biases, zero};
pub use optimiser::Trainer;
pub use replicas::Replicas;
pub use shares::{gathered, mean_of, mean_over, share, spread};
pub use task::{HeldOut, Length, Step, Task, Term, train, train_for_the_best};
