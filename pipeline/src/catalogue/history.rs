//! The entries of runs: the newest of each, and earlier ones.

use super::found::Catalogue;
use crate::store::{RunFolder, entry_of};

/// An entry of a run's history.
pub struct Entry {
    /// The name of its folder.
    pub folder: String,
    /// The name of the run.
    pub run: String,
    /// Its number; none for the newest, whose record holds it.
    number: Option<u64>,
    /// Whether it is the run's newest entry.
    pub is_newest: bool,
}

impl Entry {
    /// Its number.
    pub fn number(&self, catalogue: &Catalogue) -> u64 {
        let newest = || RunFolder::of(&catalogue.store, &self.folder).number();
        self.number.unwrap_or_else(newest)
    }
}

impl Catalogue {
    /// Every entry of every run, by name, then by number.
    pub fn history(&self) -> Vec<Entry> {
        let folders = self.folders("runs").into_iter();
        let mut entries: Vec<Entry> = folders
            .map(|folder| {
                let (run, number) = entry_of(&folder);
                Entry {
                    run: run.to_owned(),
                    number,
                    is_newest: false,
                    folder,
                }
            })
            .collect();
        entries.sort_by(|a, b| {
            let key = |e: &Entry| e.number.unwrap_or(u64::MAX);
            a.run.cmp(&b.run).then(key(a).cmp(&key(b)))
        });
        for at in 0..entries.len() {
            let next = entries.get(at + 1).map(|next| next.run.clone());
            entries[at].is_newest = next.as_ref() != Some(&entries[at].run);
        }
        entries
    }
}
