//! Persistence: the weights of a network, the state of a training, and partial rows.

mod numbered;
mod partial;
mod snapshot;
mod weights;

pub use numbered::{numbered, sync};
pub use partial::Partial;
pub use snapshot::{Resumable, Snapshot};
pub use weights::{
    METADATA, file_size, header_json, load_weights, load_weights_from_bytes, must_hold,
    read_header, read_whole, save_tensors, save_weights,
};
