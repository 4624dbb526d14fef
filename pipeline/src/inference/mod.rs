//! The models of a run applied to new rows: which models are meant, where results go, and going on with what
//! was interrupted.

mod inputs;
mod job;
mod models;

pub use inputs::{Input, dataset_of};
pub use job::{Job, Output};
pub use models::{Model, Models};
