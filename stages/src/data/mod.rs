//! Features in HDF5: reading, scanning, splitting, normalising, batching; analytic targets.

mod advise;
mod ahead;
mod as_safetensors;
mod batches;
mod chunks;
mod config;
mod contents;
mod curve_density;
mod dataset;
mod decode;
mod equal;
mod fletcher32;
mod gaussian_mixture;
mod generate;
mod hdf5_raw;
mod ingest;
mod listing;
mod moments;
mod normaliser;
mod open;
mod parts;
mod pass;
mod principal;
mod rehearsal;
mod rows;
mod scan;
mod scratch;
mod shape;
mod shuffle;
mod split;
mod stack;
mod stored;
mod suggest;
mod superblock;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod training_set;
mod whereabouts;
mod windows;
mod write;
mod write_stream;

pub use as_safetensors::as_safetensors;
pub use batches::Batches;
pub use config::{
    NonFinite, NormalisationConfig, PartConfig, Projection, SourceConfig, Whiten, check_memory,
    check_parts,
};
pub use contents::{Contents, Statistics};
pub use dataset::{Dataset, Element};
pub use gaussian_mixture::{ComponentEigen, GaussianMixture, MixtureDensity};
pub use generate::{generate, read_target, write_features};
pub use ingest::Ingest;
pub use listing::{DatasetInfo, FileListing, list};
pub use moments::Moments;
pub use normaliser::{Linear, Normaliser};
pub use principal::PrincipalPlane;
pub use rehearsal::is_rehearsal;
pub use rows::{RowBlock, RowView};
pub use scan::Scan;
pub use shape::{DataShape, refuse_channels_last};
pub use split::{Part, Split};
pub use target::{Component, Density, Target};
pub use training_set::{Data, DataConfig, Demands};
pub use write::{
    Attribute, Described, OutData, has_dataset, read_dataset_f32, read_dataset_i64, write_datasets,
    write_described,
};
pub use write_stream::DatasetWriter;
