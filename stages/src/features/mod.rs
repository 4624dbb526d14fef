//! Features in HDF5: reading, scanning, splitting, normalising, batching; analytic targets.

mod config;

pub use config::{NonFinite, NormalisationConfig, Projection, SourceConfig, SplitConfig, Whiten};
