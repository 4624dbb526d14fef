//! Trained models applied to any number of new rows, which are read, computed and stored in batches.
//!
//! Each kind of work defines its inputs and outputs. [`go_on`] computes the rows into a [`Partial`]
//! that survives the process; the work then writes the finished file.

mod columns;
mod conditions;
mod decode;
mod decoder;
mod encode;
mod grid;
mod lineage;
mod rows;
mod sample;
mod score;
mod scoring;
mod sequences;
mod work;

pub use crate::persist::Partial;
pub use conditions::Condition;
pub use decode::Decode;
pub use decoder::Through;
pub use encode::{Encode, Latent};
pub use grid::Grid;
pub use lineage::Lineage;
pub use sample::{Decoding, Sample, SampleConfig};
pub use score::{Score, Space};
pub use scoring::{Scores, Scoring, ScoringConfig};
pub use sequences::{OfSequences, SequenceFile};
pub use work::{Work, go_on};
