//! What is kept on disk: the weights of a network, and the state of a training.

mod snapshot;
mod weights;

pub use snapshot::{Resumable, Snapshot};
pub use weights::{
    METADATA, file_size, header_json, load_weights, load_weights_from_bytes, must_hold,
    read_header, read_whole, save_tensors, save_weights,
};
