//! What to export: the artifacts of a run, or one complete artifact.

use crate::catalogue::{Prefer, Thing};
use crate::store::{Manifest, Stage, State, Store, Wrong, state_of, verify_output};
use latent_align_stages::{Error, Result};
use std::path::{Path, PathBuf};

/// Artifacts under one name.
#[derive(Debug)]
pub struct Source {
    /// Name of the run, or stage and fingerprint of the artifact.
    pub name: String,
    /// In the order of their stages.
    pub artifacts: Vec<Artifact>,
}

/// A complete artifact.
#[derive(Debug)]
pub struct Artifact {
    /// Its directory.
    pub dir: PathBuf,
    pub manifest: Manifest,
}

impl Source {
    /// The run or artifact found by [`Thing::find`].
    ///
    /// # Errors
    /// [`Error::Input`] if it is neither, or the run has no finished stage; [`Error::File`] for a
    /// damaged artifact.
    pub fn find(store: &Store, what: &Path) -> Result<Self> {
        let thing = Thing::find(store, what, Prefer::Run)?;
        if let Thing::Store(_) = thing {
            return Err(Error::input(format!(
                "{}: found a folder of many artifacts, expected one run or artifact",
                what.display()
            )));
        }
        let places = thing.artifacts()?.into_iter();
        let artifacts = places.map(|(_, dir)| Artifact::read(dir));
        let artifacts: Vec<Artifact> = artifacts.collect::<Result<_>>()?;
        let name = match (thing, &artifacts[..]) {
            (Thing::Run(_, name), _) => name,
            (_, artifacts) => {
                let of = |a: &Artifact| format!("{}-{}", a.stage(), a.manifest.fingerprint);
                artifacts.iter().map(of).collect()
            }
        };
        Ok(Self { name, artifacts })
    }
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

    pub fn stage(&self) -> Stage {
        self.manifest.stage
    }

    /// The names of its outputs that end in `.extension`.
    pub fn outputs<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = &'a str> {
        let names = self.manifest.outputs.keys().map(String::as_str);
        names.filter(move |name| Path::new(name).extension().is_some_and(|e| e == extension))
    }

    /// The path of the output `name` after checking its digest; None if there is no such output.
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
        format!("damaged and not used; run its experiment again to compute it again\n  {why}"),
    )
}
