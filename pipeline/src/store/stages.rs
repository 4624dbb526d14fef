//! What the folder of a run leads to, as far as that is of its configuration.
//!
//! A link of an older version, an artifact that was computed again with another result: what does not
//! belong to the rest is left out, and told.

use super::Stage;
use super::{Manifest, RunFolder, RunRecord, StageOfRun};
use std::path::PathBuf;

/// The stages of a run as they lie on disk.
pub struct RunStages {
    run: PathBuf,
    there: Vec<Stage>,
    /// Those that are whole, in order.
    pub whole: Vec<Manifest>,
    /// Those that cannot be read, and why.
    pub damaged: Vec<(Stage, String)>,
    /// Those that are not of what the run is of now, and why.
    pub stale: Vec<(Stage, String)>,
}

impl RunStages {
    /// The folder of `stage`; none where the run does not have it, or it is stale.
    pub fn folder(&self, stage: Stage) -> Option<PathBuf> {
        let is_there = self.there.contains(&stage);
        is_there.then(|| self.run.join(stage.name()))
    }

    /// The file `name` of `stage`, if it is there.
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
            (now.contents() != read.contents).then(|| {
                format!(
                    "{} was computed again since, with another result",
                    read.stage
                )
            })
        })
    }
}

impl RunFolder {
    /// The stages that the folder leads to.
    pub fn stages(&self) -> RunStages {
        self.stages_with(self.record().ok().flatten().as_ref())
    }

    /// The same, with the record that was read already. Without one, every link counts.
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

    /// Whether the link of `stage` leads to that artifact.
    pub fn leads_to(&self, stage: &StageOfRun) -> bool {
        let Some(place) = self.linked(stage.stage) else {
            return false;
        };
        // Elsewhere than in this store an artifact may have any name.
        place.ends_with(&stage.fingerprint)
            || (!place.starts_with(self.root())
                && Manifest::read(&place).is_ok_and(|m| m.fingerprint == stage.fingerprint))
    }

    /// Where the artifact of `stage` is or will be: where the link leads, if that is to it.
    pub fn place(&self, stage: &StageOfRun) -> PathBuf {
        let linked = self.linked(stage.stage).filter(|_| self.leads_to(stage));
        linked.unwrap_or_else(|| {
            let name = stage.stage.name();
            self.root().join(name).join(&stage.fingerprint)
        })
    }
}
