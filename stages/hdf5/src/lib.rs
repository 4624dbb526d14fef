//! HDF5 files: opening possibly damaged ones, reading, listing, and atomic writing.
//!
//! A dataset is identified by the path of its file and its name. All `unsafe` code for HDF5 is in `raw`. Three
//! modules make system calls for which there is no safe function, so that `stages` and `pipeline` can forbid
//! `unsafe`: `programs` keeps the files that libhdf5 has open from being inherited by child processes,
//! `open_lock` locks open files, `exchange` exchanges two folders.

#![deny(clippy::missing_errors_doc)]

mod as_safetensors;
mod blocks;
mod child;
mod chunks;
mod contents;
mod dataset;
mod decode;
mod element;
mod error;
#[allow(unsafe_code)]
mod exchange;
mod fletcher32;
pub mod foreign;
mod guard;
mod listing;
mod name;
mod open;
#[allow(unsafe_code)]
pub mod open_lock;
#[allow(unsafe_code)]
mod programs;
#[allow(unsafe_code)]
mod raw;
mod scratch;
mod stack;
mod stored;
mod suggest;
mod superblock;
pub mod temporary;
#[cfg(test)]
mod tests;
mod text;
mod texts;
mod tree;
mod write;
mod write_stream;

pub use as_safetensors::as_safetensors;
pub use blocks::each_block;
pub use child::is_rehearsal;
pub use contents::{Contents, Statistics};
pub use dataset::Dataset;
pub use element::Element;
pub use error::{Error, Result};
pub use exchange::exchange;
pub use guard::rehearse_together;
pub use listing::list;
pub use name::absolute;
pub use programs::alone;
pub use raw::Readable;
pub use scratch::Scratch;
pub use stack::Stack;
pub use suggest::closest;
pub use texts::read_texts;
pub use tree::{DatasetInfo, FileListing};
pub use write::{
    Attribute, Described, Number, OutData, dataset_shape, has_dataset, read_dataset,
    read_dataset_f32, read_dataset_i64, write_datasets, write_described,
};
pub use write_stream::{DatasetWriter, NewDataset, Planned};
