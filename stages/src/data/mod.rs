//! Data in HDF5: reading, scanning, splitting, normalising, batching, writing.

mod advise;
mod ahead;
mod as_safetensors;
mod batches;
mod binarise;
mod child;
mod chunks;
mod config;
mod contents;
mod dataset;
mod decode;
mod element;
mod equal;
mod fletcher32;
mod guard;
mod hdf5_error;
mod hdf5_raw;
mod ingest;
mod lattice;
mod levels;
mod listing;
mod moments;
mod normaliser;
mod onto;
mod open;
mod parts;
mod pass;
mod patches;
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
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod texts;
mod training_set;
mod tree;
mod whereabouts;
mod windows;
mod write;
mod write_stream;

pub use as_safetensors::as_safetensors;
pub use batches::Batches;
pub use binarise::{Binarise, Binariser};
pub use child::is_rehearsal;
pub use config::{
    NonFinite, NormalisationConfig, PartConfig, Projection, SourceConfig, Whiten, check_memory,
    check_parts, files_of_parts,
};
pub use contents::{Contents, Statistics};
pub use dataset::Dataset;
pub use element::Element;
pub use ingest::Ingest;
pub use listing::list;
pub use moments::Moments;
pub use normaliser::{Inverse, Linear, Normaliser};
pub use patches::Patches;
pub use rows::{RowBlock, RowView};
pub use scan::Scan;
pub use shape::{DataShape, refuse_channels_last};
pub use split::{Part, Split};
pub(crate) use suggest::{closest, quoted};
pub use texts::read_texts;
pub use training_set::{Data, DataConfig, Demands};
pub use tree::{DatasetInfo, FileListing};
pub use write::{
    Attribute, Described, OutData, dataset_shape, has_dataset, read_dataset_f32, read_dataset_i64,
    write_datasets, write_described,
};
pub(crate) use write::{write_attribute, write_dataset, write_image};
pub use write_stream::{DatasetWriter, NewDataset};
