//! Generates a first experiment for a user's files: scans them, chooses settings, and explains them
//! in comments.
//!
//! - [`pick`]: selection of datasets
//! - [`readings`]: errors for data that can be read in several ways
//! - [`flow`], [`encode`]: scan results, and the settings chosen from them
//! - [`experiment`]: the complete configuration
//! - [`yaml`]: quoting of paths and names

mod encode;
mod experiment;
mod flow;
mod pick;
mod readings;
mod request;
mod rows;
mod yaml;

pub use experiment::starter;
pub use request::{DataAs, Request, SCHEMA};
pub use yaml::name_of_all;
