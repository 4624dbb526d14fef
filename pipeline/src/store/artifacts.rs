//! The location of a store and its artifacts.

use super::Stage;
use super::disk;
use latent_align_stages::{Error, Result};
use std::path::{Path, PathBuf};

/// A folder of artifacts.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store at `root`, which need not exist yet. Accesses no files.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Its root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the artifact `fingerprint` of `stage`, whether or not it exists.
    pub fn artifact(&self, stage: Stage, fingerprint: &str) -> PathBuf {
        self.root.join(stage.name()).join(fingerprint)
    }

    /// Checks that existing folders of artifacts, runs and sweeps can be listed.
    ///
    /// # Errors
    /// [`Error::Input`] names the folder that cannot.
    pub fn must_be_listed(&self) -> Result<()> {
        let kinds = Stage::ALL.map(Stage::name).into_iter();
        let folders = kinds
            .chain(["runs", "sweeps"])
            .map(|name| self.root.join(name));
        for folder in std::iter::once(self.root.clone()).chain(folders) {
            disk::entries(&folder).map_err(|e| {
                Error::input(format!(
                    "{}: cannot be listed ({e}); make it readable, or name another store with --artifacts",
                    folder.display()
                ))
            })?;
        }
        Ok(())
    }

    /// Every artifact folder, by stage and then by name, including damaged ones.
    pub fn artifacts(&self) -> Vec<(Stage, PathBuf)> {
        let mut found = Vec::new();
        for stage in Stage::ALL {
            let entries = self.root.join(stage.name()).read_dir();
            let mut folders: Vec<PathBuf> = entries
                .into_iter()
                .flatten()
                .flatten()
                .filter(|e| !e.file_name().to_string_lossy().starts_with('.'))
                .map(|e| e.path())
                .collect();
            folders.sort();
            found.extend(folders.into_iter().map(|f| (stage, f)));
        }
        found
    }

    /// The single artifact whose fingerprint starts with `prefix`, of `stage` if given.
    ///
    /// # Errors
    /// [`Error::Input`] if none or several match.
    pub fn find(&self, stage: Option<Stage>, prefix: &str) -> Result<PathBuf> {
        let mut found: Vec<PathBuf> = self
            .artifacts()
            .into_iter()
            .filter(|(s, folder)| {
                let name = folder.file_name().unwrap_or_default().to_string_lossy();
                stage.is_none_or(|wanted| wanted == *s) && name.starts_with(prefix)
            })
            .map(|(_, folder)| folder)
            .collect();
        let kind = stage.map_or("artifact", Stage::name);
        match (found.pop(), found.len()) {
            (Some(one), 0) => Ok(one),
            (Some(last), more) => Err(Error::input(format!(
                "`{prefix}` is the start of {} fingerprints in {}, among them {}; give more characters",
                more + 1,
                self.root.display(),
                last.display()
            ))),
            (None, _) => Err(Error::input(format!(
                "no {kind} in {} has a fingerprint that starts with `{prefix}`; \
                 `latent-align list artifacts` lists them",
                self.root.display()
            ))),
        }
    }
}
