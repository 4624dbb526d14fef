//! `artifacts/runs/<name>/`: the folder of a run for users.
//!
//! Links to the stages' artifacts, the resolved configuration, and a summary. All of it can be
//! rebuilt by running the experiment again, which then computes nothing.

use super::Stage;
use super::artifacts::Store;
use super::disk;
use latent_align_hdf5::temporary::{self, remove_abandoned};
use latent_align_stages::{Error, Result};
use std::path::{Path, PathBuf};

/// The folder of one experiment.
#[derive(Debug, Clone)]
pub struct RunFolder {
    dir: PathBuf,
    root: PathBuf,
}

impl RunFolder {
    /// The folder of the experiment `name` in `store`. Accesses no files.
    pub fn of(store: &Store, name: &str) -> Self {
        Self {
            dir: store.root().join("runs").join(name),
            root: store.root().to_owned(),
        }
    }

    /// The folder `dir` of a run in `store`, whatever its name. Accesses no files.
    pub fn at(store: &Store, dir: PathBuf) -> Self {
        let root = store.root().to_owned();
        Self { dir, root }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The root of its store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The artifact that the link of `stage` refers to, whether or not it still exists.
    pub fn linked(&self, stage: Stage) -> Option<PathBuf> {
        let target = std::fs::read_link(self.dir.join(stage.name())).ok()?;
        Some(if target.is_absolute() {
            target
        } else {
            let name = target.file_name()?;
            self.root.join(stage.name()).join(name)
        })
    }

    /// The artifacts that its links refer to.
    ///
    /// # Errors
    /// What cannot be read, and why.
    pub fn links(&self) -> std::result::Result<Vec<(Stage, String)>, String> {
        let mut found = Vec::new();
        for stage in Stage::ALL {
            let link = self.dir.join(stage.name());
            let told = |e: std::io::Error| format!("{}: {e}", link.display());
            // a copy in place of a link refers to nothing
            if !disk::is_there(&link).map_err(told)? || !link.is_symlink() {
                continue;
            }
            let target = std::fs::read_link(&link).map_err(told)?;
            let name = target.file_name().and_then(|name| name.to_str());
            found.extend(name.map(|name| (stage, name.to_owned())));
        }
        Ok(found)
    }

    /// Links `stage` to `artifact`, with a relative path if it is in the store; returns whether the
    /// link changed.
    pub fn link(&self, stage: Stage, artifact: &Path) -> Result<bool> {
        let inside = artifact.strip_prefix(&self.root);
        let target = match inside {
            Ok(inside) => Path::new("../..").join(inside),
            Err(_) => std::path::absolute(artifact).map_err(|e| Error::file(artifact, e))?,
        };
        let link = self.dir.join(stage.name());
        if std::fs::read_link(&link).is_ok_and(|found| found == target) {
            return Ok(false);
        }
        let failed = |e| Error::file(&link, e);
        disk::create_folder(&self.dir)?;
        let temporary = temporary::beside(&self.dir.join(stage.name()));
        std::os::unix::fs::symlink(&target, &temporary).map_err(failed)?;
        disk::place(&temporary, &link)?;
        Ok(true)
    }

    /// Removes the link of a stage that the experiment no longer has.
    pub fn unlink(&self, stage: Stage) {
        let link = self.dir.join(stage.name());
        if link.is_symlink() {
            let _ = std::fs::remove_file(link);
        }
    }

    /// Removes leftovers of ended processes.
    pub fn tidy(&self) {
        remove_abandoned(&self.dir, |_| true);
        self.remove_unattended();
    }

    /// Atomically writes `text` to the file `name`; an equal file is left alone.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        disk::write_whole(&self.dir, name, text)
    }

    /// As [`Self::write`] without syncing, for data that may be lost in a power failure.
    pub fn write_lightly(&self, name: &str, text: &str) -> Result<()> {
        disk::write_lightly(&self.dir.join(name), text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_and_can_be_moved() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let run = RunFolder::of(&store, "ring");
        for fingerprint in ["aa", "bb"] {
            let artifact = store.artifact(Stage::PretrainFlow, fingerprint);
            std::fs::create_dir_all(&artifact).unwrap();
            run.link(Stage::PretrainFlow, &artifact).unwrap();
            assert_eq!(run.linked(Stage::PretrainFlow), Some(artifact.clone()));
            let link = run.path().join("pretrain-flow");
            assert_eq!(
                std::fs::canonicalize(link).unwrap(),
                artifact.canonicalize().unwrap()
            );
        }
        let link = std::fs::read_link(run.path().join("pretrain-flow")).unwrap();
        assert_eq!(link, Path::new("../../pretrain-flow/bb"));
        run.unlink(Stage::PretrainFlow);
        assert_eq!(run.linked(Stage::PretrainFlow), None);
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunFolder::of(&Store::at(dir.path()), "ring");
        run.write("summary.md", "one").unwrap();
        run.write("summary.md", "two").unwrap();
        assert_eq!(run.path().read_dir().unwrap().count(), 1);
        let text = std::fs::read_to_string(run.path().join("summary.md")).unwrap();
        assert_eq!(text, "two");
    }
}
