//! Export of results for other programs.
//!
//! Every file that is read is first checked against the digest in its manifest, and existing files
//! are not overwritten by default.

mod event;
mod files;
mod message;
mod onnx;
mod record;
mod safetensors;
mod source;
mod tensorboard;

pub use files::Files;
pub use onnx::onnx;
pub use safetensors::safetensors;
pub use source::{Artifact, Source};
pub use tensorboard::tensorboard;
