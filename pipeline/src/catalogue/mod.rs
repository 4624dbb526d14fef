//! What a store holds, as tables: runs, sweeps, artifacts.
//!
//! Nothing here stops at a damaged thing: it becomes a row that says what is wrong with it. What a
//! manifest says comes through the store's index, which counts only while the manifest has not changed.

mod artifacts;
mod comparison;
mod history;
mod names;
mod references;
mod runs;
mod sweeps;

pub use artifacts::{ArtifactEntry, artifacts};
pub use comparison::compare;
pub use history::Entry;
pub use references::References;
pub use runs::{RunEntry, StageEntry};
pub use sweeps::{SweepEntry, TrialEntry, sweeps};

use crate::store::{Index, Stage, Store};
use std::path::PathBuf;

/// What was found in a store.
pub struct Catalogue {
    /// Where.
    pub store: Store,
    /// What its manifests and configurations say.
    pub index: Index,
}

impl Catalogue {
    /// The catalogue of `store`; nothing is looked up yet.
    pub fn of(store: &Store) -> Self {
        Self {
            store: store.clone(),
            index: Index::of(store),
        }
    }

    /// The runs called `names`, as their folders are.
    pub fn runs(&mut self, names: &[String]) -> Vec<RunEntry> {
        let runs = runs::find(&self.store, names, &mut self.index);
        self.index.save();
        runs
    }

    /// These artifacts, as they stand in their folders.
    pub fn artifacts(&mut self, places: &[(Stage, PathBuf)]) -> Vec<ArtifactEntry> {
        let found = artifacts::find(places, &mut self.index);
        self.index.save();
        found
    }

    /// Every sweep, by name.
    pub fn sweeps(&mut self) -> Vec<SweepEntry> {
        let names = self.folders("sweeps");
        sweeps::find(self, &names)
    }

    /// The names of the folders in `runs` or `sweeps`, sorted.
    pub fn folders(&self, kind: &str) -> Vec<String> {
        let entries = self.store.root().join(kind).read_dir();
        let entries = entries.into_iter().flatten().flatten();
        let folders = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
        let names = folders.filter_map(|e| e.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|n| !n.starts_with('.')).collect();
        names.sort();
        names
    }

    /// The figures that any of `runs` has, as `stage: figure`.
    pub fn figure_names(&self, runs: &[&RunEntry]) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for stage in runs.iter().flat_map(|run| &run.stages) {
            let card = self.index.card(&stage.dir);
            for (name, _) in card.iter().flat_map(|card| &card.figures) {
                let name = format!("{}: {}", stage.stage, self.index.symbols.text(*name));
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }
}
