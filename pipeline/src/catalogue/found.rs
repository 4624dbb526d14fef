//! A store, and what was found in it.

use crate::store::{Index, Store};

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
}
