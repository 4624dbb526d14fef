//! The alignment loss and its weightings, and what tells alignment from collapse.

mod collapse;
mod config;
mod loss;
mod regulariser;

pub use collapse::{Comparison, Spectrum, compare, spectrum};
pub use config::{RegulariserConfig, Weighting};
pub use loss::{alignment_loss, alignment_loss_per_point};
pub use regulariser::penalty;
