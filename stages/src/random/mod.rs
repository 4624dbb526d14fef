//! Random numbers that depend on what they are for alone, so that no generator has to be kept or replayed.

pub(crate) mod keyed;
mod streams;

pub use streams::{Streams, normal, stratified_times};
