//! Data in HDF5: scanning, splitting, normalising, batching.

mod batches;
mod beside;
mod binarise;
mod config;
mod equal;
mod files;
mod ingest;
mod lattice;
mod levels;
mod moments;
mod normaliser;
mod onto;
mod parts;
mod pass;
mod patches;
mod rows;
mod scan;
mod scanned;
mod shape;
mod shuffle;
mod split;
#[cfg(test)]
pub(crate) mod tests;
mod training_set;
mod whereabouts;
mod windows;

pub use batches::Batches;
pub use beside::read_beside;
pub use binarise::{Binarise, Binariser};
pub use config::{
    NonFinite, NormalisationConfig, PartConfig, Projection, SourceConfig, Whiten, check_memory,
    check_parts, files_of_parts,
};
pub use files::Files;
pub use ingest::Ingest;
pub use latent_align_hdf5::{
    Attribute, Dataset, DatasetWriter, Described, Element, NewDataset, Number, OutData, Planned,
    dataset_shape, has_dataset, list, read_dataset_f32, read_dataset_i64, read_texts,
    write_datasets, write_described,
};
pub use moments::Moments;
pub use normaliser::{Inverse, Linear, Normaliser};
pub use patches::Patches;
pub use rows::{RowBlock, RowView};
pub use scan::Scan;
pub use scanned::file_state;
pub use shape::{DataShape, refuse_channels_last};
pub use split::{Part, Split};
pub use training_set::{Data, DataConfig, Demands};
