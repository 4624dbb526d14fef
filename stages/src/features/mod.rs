//! Features in HDF5: reading, scanning, splitting, normalising, batching; analytic targets.

mod batches;
mod config;
mod dataset;
mod hash;
mod hdf5_raw;
mod ingest;
mod listing;
mod moments;
mod normaliser;
mod open;
mod rows;
mod scan;
mod shuffle;
mod split;
mod suggest;
mod write;
mod write_stream;

pub use batches::Batches;
pub use config::{NonFinite, NormalisationConfig, Projection, SourceConfig, SplitConfig, Whiten};
pub use dataset::{Dataset, Element};
pub use ingest::Ingest;
pub use listing::{DatasetInfo, FileListing, list};
pub use moments::Moments;
pub use normaliser::{Linear, Normaliser};
pub use rows::RowView;
pub use scan::Scan;
pub use split::{Part, Split};
pub use write::{Attribute, OutData, read_dataset_f32, write_datasets};
pub use write_stream::DatasetWriter;
