//! Something that may be removed.

use crate::store::{Held, Name, Stage, remove_at_once};
use latent_align_stages::Result;
use std::path::{Path, PathBuf};

/// Something that may go.
pub struct Candidate {
    /// The artifact's stage, if it is one.
    pub stage: Option<Stage>,
    /// The artifact's fingerprint, or a name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Bytes on disk.
    pub bytes: u64,
    /// Why it may go, or why it stays although nothing refers to it.
    pub why: String,
    /// Whether it goes.
    pub goes: bool,
    /// What is locked while it goes: the fingerprint in the stage's folder.
    pub lock: Option<String>,
}

impl Candidate {
    /// The folder and the fingerprint that are locked while it goes.
    pub fn locked(&self) -> Option<(&Path, &str)> {
        Some((self.path.parent()?, self.lock.as_deref()?))
    }

    /// Removes it.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn remove(&self) -> Result<()> {
        if matches!(Name::of(&self.name), Some(Name::Lock(_))) {
            return Ok(()); // giving the lock back takes its file away
        }
        remove_at_once(&self.path)
    }
}

/// Why something stays whose claim is `held` so, if it does.
pub fn stays(held: &Held) -> Option<String> {
    match held {
        Held::No => None,
        Held::Yes => Some("stays: a process works on it".to_owned()),
        Held::Unknown(why) => Some(format!(
            "stays: whether a process works on it cannot be found out ({why})"
        )),
    }
}

/// Bytes of everything under `path`; links count as themselves.
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
