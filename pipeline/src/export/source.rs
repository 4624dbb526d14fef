//! What is exported: the artifacts of a run, or one artifact, whole.

use crate::catalogue::{Target, target};
use crate::config::hint;
use crate::store::{Manifest, Stage, State, Store, Wrong, state_of, verify_output};
use latent_align_stages::{Error, Result};
use std::path::{Path, PathBuf};

/// Artifacts under one name.
#[derive(Debug)]
pub struct Source {
    /// The run's, or the artifact's stage and fingerprint.
    pub name: String,
    /// In the order of their stages.
    pub artifacts: Vec<Artifact>,
}

/// A whole artifact.
#[derive(Debug)]
pub struct Artifact {
    /// Where it is.
    pub dir: PathBuf,
    /// What it is.
    pub manifest: Manifest,
}

impl Source {
    /// Finds out what `what` means: the name of a run, the folder of a run or of an artifact, or the start
    /// of a fingerprint.
    ///
    /// # Errors
    /// [`Error::Input`] when it is none of these, or no stage of the run is finished; [`Error::File`] for a
    /// damaged artifact.
    pub fn find(store: &Store, what: &Path) -> Result<Self> {
        let entry = store.run_entry(&what.to_string_lossy());
        let run = store.root().join("runs");
        let run = entry.map_or_else(|| run.join(what), |entry| run.join(entry));
        // A path that exists is what it is, even if a run has the same name.
        let place = match what.exists() {
            false if run.is_dir() => &run,
            _ => what,
        };
        let found = target(store, Some(place)).map_err(|e| explain(store, what, e))?;
        match found {
            Target::One(dir) => {
                let artifact = Artifact::read(dir)?;
                let Manifest {
                    stage, fingerprint, ..
                } = &artifact.manifest;
                Ok(Self {
                    name: format!("{stage}-{fingerprint}"),
                    artifacts: vec![artifact],
                })
            }
            Target::Many(links) if links.iter().all(|(_, link)| link.is_symlink()) => {
                let dir = place.canonicalize().map_err(|e| Error::file(place, e))?;
                let name = dir.file_name().unwrap_or_default().to_string_lossy();
                let artifacts = links.into_iter().map(|(_, link)| Artifact::read(link));
                Ok(Self {
                    name: name.into_owned(),
                    artifacts: artifacts.collect::<Result<_>>()?,
                })
            }
            Target::Many(_) => Err(Error::input(format!(
                "{}: found a folder of many artifacts, expected one run or artifact",
                what.display()
            ))),
        }
    }
}

/// `error`, unless there are runs and `what` may be a mistyped one.
fn explain(store: &Store, what: &Path, error: Error) -> Error {
    let entries = store.root().join("runs").read_dir();
    let names = entries.into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let near = hint(&what.to_string_lossy(), names);
    if near.is_empty() || what.exists() {
        return error;
    }
    Error::input(format!(
        "{}: no such run in {}{near}",
        what.display(),
        store.root().display()
    ))
}

impl Artifact {
    fn read(dir: PathBuf) -> Result<Self> {
        match state_of(&dir) {
            State::Whole(manifest) => Ok(Self {
                dir,
                manifest: *manifest,
            }),
            State::Damaged(why) => Err(damaged(&dir, &why)),
            State::Unreadable(why) => Err(Error::file(&dir, format!("cannot be read ({why})"))),
            State::Absent => Err(damaged(&dir, "it was deleted")),
        }
    }

    /// Its stage.
    pub fn stage(&self) -> Stage {
        self.manifest.stage
    }

    /// The names of its outputs that end in `.extension`.
    pub fn outputs<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = &'a str> {
        let names = self.manifest.outputs.keys().map(String::as_str);
        names.filter(move |name| Path::new(name).extension().is_some_and(|e| e == extension))
    }

    /// The path of the output `name`, found to have its digest; none if there is no such output.
    ///
    /// # Errors
    /// [`Error::File`] if it differs from what the stage wrote.
    pub fn output(&self, name: &str) -> Result<Option<PathBuf>> {
        let Some(record) = self.manifest.outputs.get(name) else {
            return Ok(None);
        };
        match verify_output(&self.dir, name, record) {
            Some(Wrong::Damaged(why)) => Err(damaged(&self.dir, &why)),
            Some(Wrong::Unreadable(why)) => {
                Err(Error::file(&self.dir, format!("cannot be read ({why})")))
            }
            None => Ok(Some(self.dir.join(name))),
        }
    }
}

fn damaged(dir: &Path, why: &str) -> Error {
    Error::file(
        dir,
        format!(
            "damaged, and not used; run its experiment again, which computes it again\n  {why}"
        ),
    )
}
