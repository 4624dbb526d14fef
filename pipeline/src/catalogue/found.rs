//! A store and its contents.

use crate::store::{Index, Store};

/// The contents of a store.
pub struct Catalogue {
    /// The store.
    pub store: Store,
    /// The contents of its manifests and configurations.
    pub index: Index,
}

impl Catalogue {
    /// The catalogue of `store`, with nothing looked up yet.
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
