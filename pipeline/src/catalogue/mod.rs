//! What is in a store: runs, sweeps, artifacts as tables; how they hang together; what may go.
//!
//! Nothing here stops at a damaged thing: it becomes a row that says what is wrong with it. What a
//! manifest says comes through the store's index, which counts only while the manifest has not changed.
//!
//! - [`artifacts`], [`runs`], [`sweeps`] ([`columns`], [`history`]): tables of many; [`comparison`]: a table of few
//! - [`names`], [`resolve`]: what people mean
//! - [`lineage`], [`differences`], [`references`]: how artifacts hang together
//! - [`unreferenced`] ([`candidate`], [`leftovers`]): what nothing refers to, and removing it

mod artifacts;
mod candidate;
mod columns;
mod comparison;
pub mod differences;
mod found;
mod history;
mod leftovers;
pub mod lineage;
mod names;
mod references;
mod resolve;
mod runs;
mod sweeps;
mod unreferenced;

pub use artifacts::artifacts;
pub use candidate::Candidate;
pub use comparison::compare;
pub use differences::Difference;
pub use found::Catalogue;
pub use resolve::{Prefer, Thing};
pub use runs::{RunEntry, StageEntry};
pub use sweeps::sweeps;
pub use unreferenced::{candidates, remove};
