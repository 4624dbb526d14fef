//! What refers to artifacts: the links and records of runs, and what kept artifacts were made from.

use super::Catalogue;
use crate::store::Stage;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The artifacts of a store that must stay.
#[derive(Default)]
pub struct References {
    kept: BTreeSet<(Stage, String)>,
    /// Kept artifacts whose manifest cannot be read: what they were made from is not known.
    pub unreadable: Vec<PathBuf>,
}

impl References {
    /// Whether something refers to the artifact.
    pub fn hold(&self, stage: Stage, fingerprint: &str) -> bool {
        self.kept.contains(&(stage, fingerprint.to_owned()))
    }
}

impl Catalogue {
    /// What every run leads to, by link or record, finished or not, and what that was made from. The
    /// trials of sweeps are runs, and so are the older entries of a run's history.
    pub fn references(&mut self) -> References {
        let names = self.folders("runs");
        let runs = self.runs(&names);
        let mut ahead: Vec<(Stage, String)> = Vec::new();
        for run in &runs {
            ahead.extend(run.stages.iter().map(|s| (s.stage, s.fingerprint.clone())));
            for stage in Stage::ALL {
                let linked = run.folder.linked(stage);
                let name = linked
                    .as_deref()
                    .and_then(Path::file_name)
                    .and_then(|n| n.to_str());
                ahead.extend(name.map(|name| (stage, name.to_owned())));
            }
        }
        let all = self.store.artifacts();
        let dirs: Vec<PathBuf> = all.iter().map(|a| a.1.clone()).collect();
        self.index.look_up(&dirs, &[]);
        let places: BTreeMap<(Stage, String), PathBuf> = (all.into_iter())
            .filter_map(|(stage, dir)| {
                let name = dir.file_name()?.to_str()?.to_owned();
                Some(((stage, name), dir))
            })
            .collect();
        let mut references = References::default();
        while let Some(artifact) = ahead.pop() {
            if !references.kept.insert(artifact.clone()) {
                continue;
            }
            let Some(dir) = places.get(&artifact) else {
                continue; // it is still to be made
            };
            match self.index.card(dir) {
                Ok(card) => ahead.extend(card.upstream.iter().cloned()),
                Err(_) => references.unreadable.push(dir.clone()),
            }
        }
        references
    }
}
