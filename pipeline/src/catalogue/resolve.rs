//! Artifacts as people name them.

use crate::config::is_fingerprint_prefix;
use crate::store::{MANIFEST, Stage, Store};
use latent_align_stages::{Error, Result};
use std::path::{Path, PathBuf};

/// What somebody pointed at.
#[derive(Debug, PartialEq)]
pub enum Target {
    /// These artifacts.
    Many(Vec<(Stage, PathBuf)>),
    /// This artifact.
    One(PathBuf),
}

/// Finds out what `what` means: nothing (the whole store), the start of a fingerprint, an artifact's
/// folder, a run's folder, or a store's.
///
/// # Errors
/// [`Error::Input`] when it is none of these.
pub fn target(store: &Store, what: Option<&Path>) -> Result<Target> {
    let Some(path) = what else {
        return Ok(Target::Many(store.artifacts()));
    };
    if !path.exists() {
        let text = path.to_string_lossy();
        if is_fingerprint_prefix(&text) {
            return store.find(None, &text).map(Target::One);
        }
        return Err(Error::input(format!(
            "{}: no such file, folder or fingerprint; expected the folder of an artifact, of a run \
             or of a store, or at least four characters of a fingerprint",
            path.display()
        )));
    }
    let folder = match path.file_name() {
        Some(name) if name == MANIFEST => path.parent().unwrap_or(path),
        _ => path,
    };
    if folder.join(MANIFEST).exists() || parent_is_a_stage(folder) {
        return Ok(Target::One(folder.to_owned()));
    }
    let linked: Vec<(Stage, PathBuf)> = Stage::ALL
        .into_iter()
        .map(|stage| (stage, folder.join(stage.name())))
        .filter(|(_, link)| link.is_symlink())
        .collect();
    if !linked.is_empty() {
        return Ok(Target::Many(linked));
    }
    let other = Store::at(folder);
    if Stage::ALL.iter().any(|s| folder.join(s.name()).is_dir()) {
        return Ok(Target::Many(other.artifacts()));
    }
    Err(Error::input(format!(
        "{}: holds no artifact; expected the folder of an artifact, of a run or of a store",
        path.display()
    )))
}

/// A damaged artifact may lack its manifest; it still lies where artifacts lie.
fn parent_is_a_stage(folder: &Path) -> bool {
    let parent = folder.parent().and_then(Path::file_name);
    let in_run = folder.is_symlink();
    folder.is_dir()
        && !in_run
        && parent.is_some_and(|name| Stage::ALL.iter().any(|s| name == s.name()))
}
