//! The artifacts of a run's folder that belong to its configuration.
//!
//! Links of an older version and artifacts recomputed with another result do not belong to the rest;
//! they are left out and reported.

use super::Stage;
use super::{Manifest, RunFolder, RunRecord, StageOfRun};
use std::path::PathBuf;

/// The stages of a run on disk.
pub struct RunStages {
    run: PathBuf,
    there: Vec<Stage>,
    /// The intact stages, in order.
    pub whole: Vec<Manifest>,
    /// Stages that cannot be read, and why.
    pub damaged: Vec<(Stage, String)>,
    /// Stages that do not belong to the present configuration of the run, and why.
    pub stale: Vec<(Stage, String)>,
}

impl RunStages {
    /// The folder of `stage`; none if the run does not have it, or it is stale.
    pub fn folder(&self, stage: Stage) -> Option<PathBuf> {
        let is_there = self.there.contains(&stage);
        is_there.then(|| self.run.join(stage.name()))
    }

    /// The file `name` of `stage`, if it exists.
    pub fn file(&self, stage: Stage, name: &str) -> Option<PathBuf> {
        let file = self.folder(stage)?.join(name);
        file.exists().then_some(file)
    }

    fn add(&mut self, stage: Stage, manifest: latent_align_stages::Result<Manifest>) {
        match manifest {
            Err(why) => {
                self.damaged.push((stage, why.to_string()));
                self.there.push(stage);
            }
            Ok(manifest) => match self.outdated(&manifest) {
                Some(why) => self.stale.push((stage, why)),
                None => {
                    self.whole.push(manifest);
                    self.there.push(stage);
                }
            },
        }
    }

    /// Why `manifest` does not follow from the stages before it.
    fn outdated(&self, manifest: &Manifest) -> Option<String> {
        manifest.upstream.iter().find_map(|read| {
            let same = |m: &&Manifest| m.stage == read.stage && m.fingerprint == read.fingerprint;
            let now = self.whole.iter().find(same)?;
            (now.contents() != read.contents)
                .then(|| format!("{} was recomputed since, with another result", read.stage))
        })
    }
}

impl RunFolder {
    /// The stages that the folder's links refer to.
    pub fn stages(&self) -> RunStages {
        self.stages_with(self.record().ok().flatten().as_ref())
    }

    /// The same, with a record that was already read. Without a record, every link counts.
    pub fn stages_with(&self, record: Option<&RunRecord>) -> RunStages {
        let mut found = RunStages {
            run: self.path().to_owned(),
            there: Vec::new(),
            whole: Vec::new(),
            damaged: Vec::new(),
            stale: Vec::new(),
        };
        for stage in Stage::ALL {
            let link = self.path().join(stage.name());
            if !link.is_symlink() && !link.exists() {
                continue;
            }
            let is_other = link.is_symlink()
                && record.is_some_and(|record| {
                    let mut stages = record.stages.iter().filter(|s| s.stage == stage);
                    !stages.any(|s| self.leads_to(s))
                });
            match is_other {
                true => {
                    let why = "it is of another configuration than this run".to_owned();
                    found.stale.push((stage, why));
                }
                false => found.add(stage, Manifest::read(&link)),
            }
        }
        found
    }

    /// Whether the link of `stage` refers to that artifact.
    pub fn leads_to(&self, stage: &StageOfRun) -> bool {
        let Some(place) = self.linked(stage.stage) else {
            return false;
        };
        // Outside this store an artifact may have any name.
        place.ends_with(&stage.fingerprint)
            || (!place.starts_with(self.root())
                && Manifest::read(&place).is_ok_and(|m| m.fingerprint == stage.fingerprint))
    }

    /// The present or future folder of the artifact of `stage`: the target of the link, if it is this
    /// artifact.
    pub fn place(&self, stage: &StageOfRun) -> PathBuf {
        let linked = self.linked(stage.stage).filter(|_| self.leads_to(stage));
        linked.unwrap_or_else(|| {
            let name = stage.stage.name();
            self.root().join(name).join(&stage.fingerprint)
        })
    }
}
