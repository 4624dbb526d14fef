//! Random numbers as functions of their purpose, so that no generator state has to be stored.

pub(crate) mod keyed;
mod streams;

pub use streams::{Streams, normal, stratified_times};
