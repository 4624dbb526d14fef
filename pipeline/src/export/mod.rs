//! What runs left, for other programs.
//!
//! Every file that is read is checked against the digest in its manifest first, and no file that is
//! there is replaced unless that is asked for.

mod event;
mod files;
mod message;
mod record;
mod safetensors;
mod source;
mod tensorboard;

pub use files::Files;
pub use safetensors::safetensors;
pub use source::{Artifact, Source};
pub use tensorboard::tensorboard;
