//! The contents of a store: runs, sweeps and artifacts as tables, the references between them, and removal.
//!
//! Nothing here stops at a damaged entry: it becomes a row that says what is wrong. Manifests are read through the
//! store's index, whose entries are valid only while the manifest is unchanged.
//!
//! - [`artifacts`], [`runs`], [`sweeps`] ([`columns`], [`history`]): tables of all; [`comparison`]: a table of some
//! - [`names`], [`resolve`]: names on the command line
//! - [`lineage`], [`differences`], [`references`]: relations between artifacts
//! - [`unreferenced`] ([`candidate`], [`leftovers`]): unreferenced entries, and their removal

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
