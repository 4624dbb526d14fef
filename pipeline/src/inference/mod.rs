//! Application of a run's models to new rows: selection of models, destinations, and resuming after an
//! interruption.

mod inputs;
mod job;
mod models;

pub use inputs::{Input, dataset_of};
pub use job::{Job, Output};
pub use models::{Autoencoder, Model, Models};
