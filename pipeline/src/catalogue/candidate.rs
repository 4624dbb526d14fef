//! An entry of a store that may be removed.

use crate::store::{Held, Name, Stage, remove_at_once};
use latent_align_stages::Result;
use std::path::{Path, PathBuf};

/// A candidate for removal.
pub struct Candidate {
    /// The artifact's stage, if it is one.
    pub stage: Option<Stage>,
    /// The artifact's fingerprint, or a name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Bytes on disk.
    pub bytes: u64,
    /// Why it may be removed, or why it stays although nothing refers to it.
    pub why: String,
    /// Whether it is removed.
    pub goes: bool,
    /// The lock to hold during removal: a fingerprint in the stage's folder.
    pub lock: Option<String>,
}

impl Candidate {
    /// The folder and the fingerprint to lock during removal.
    pub fn locked(&self) -> Option<(&Path, &str)> {
        Some((self.path.parent()?, self.lock.as_deref()?))
    }

    /// Removes it.
    ///
    /// # Errors
    /// Removal fails.
    pub fn remove(&self) -> Result<()> {
        if matches!(Name::of(&self.name), Some(Name::Lock(_))) {
            return Ok(()); // releasing the lock removes its file
        }
        remove_at_once(&self.path)
    }
}

/// Why the candidate stays, given the state of its claim; none if it may be removed.
pub fn stays(held: &Held) -> Option<String> {
    match held {
        Held::No => None,
        Held::Yes => Some("stays: in use by a process".to_owned()),
        Held::Unknown(why) => Some(format!(
            "stays: cannot determine whether a process uses it ({why})"
        )),
    }
}

/// Bytes of everything under `path`; links count by their own size.
pub fn size(path: &Path) -> u64 {
    let own = path.symlink_metadata();
    match own {
        Ok(meta) if meta.is_dir() => {
            let entries = path.read_dir().into_iter().flatten().flatten();
            entries.map(|entry| size(&entry.path())).sum()
        }
        Ok(meta) => meta.len(),
        Err(_) => 0,
    }
}
