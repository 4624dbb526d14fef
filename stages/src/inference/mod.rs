//! Trained models applied to new rows, in any number: they are read, computed and kept some at a time.
//!
//! Each kind of work says what it reads and what its rows become; [`go_on`] computes them into a
//! [`Partial`] that survives the process, and the work then writes the finished file.

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
