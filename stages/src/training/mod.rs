//! What every stage's loop shares.

mod adamw;
mod config;
mod divergence;
mod initialise;
mod optimiser;
mod random;
mod resume;
mod running_mean;
mod snapshot;
mod weights;

pub use config::{MatmulPrecision, OptimiserConfig};
pub use divergence::{finite, unless_before};
pub use initialise::initialise;
#[cfg(test)]
pub use initialise::perturb;
pub use optimiser::Trainer;
pub use random::{Streams, normal, stratified_times};
pub use running_mean::RunningMean;
pub use snapshot::{Resumable, Snapshot};
pub use weights::{
    METADATA, file_size, header_json, load_weights, load_weights_from_bytes, must_hold,
    read_header, read_whole, save_tensors, save_weights,
};
