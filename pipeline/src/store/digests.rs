//! A cache of the digests of inputs and outputs.
//!
//! A large input is digested only once: the cache is keyed by path, size, modification time and
//! inode. It can be deleted at any time.

use super::file_record::{FileRecord, mismatch};
use super::manifest::Manifest;
use super::verify::{State, Wrong, state_of, unreadable};
use super::{disk, sealed};
use latent_align_stages::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The largest size of the cache file in bytes.
const LARGEST: u64 = 256 * 1024 * 1024;

/// Digests of inputs and artifacts that were read, stored in `.digests.json`.
#[derive(Debug)]
pub struct Digests {
    file: PathBuf,
    known: BTreeMap<PathBuf, Entry>,
    changed: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    size: u64,
    mtime_ns: i128,
    inode: u64,
    digest: String,
}

/// The command that creates `path`, an input of shipped configurations that is not in git.
fn made_by(path: &Path) -> Option<&'static str> {
    let made = [
        ("large.h5", "make large"),
        ("mnist-70k.h5", "make mnist MNIST=DIR"),
        ("molecules.txt", "make molecules"),
    ];
    let ours = |name: &str| path.ends_with(Path::new("data").join(name));
    (made.iter().find(|(name, _)| ours(name))).map(|(_, command)| *command)
}

impl Digests {
    /// The cache of the store at `root`; empty if it is missing or unreadable.
    pub fn of_store(root: &Path) -> Self {
        let file = root.join(".digests.json");
        Self {
            known: read(&file),
            file,
            changed: false,
        }
    }

    /// Digest and size of `path`, from the cache if the file is unchanged.
    ///
    /// # Errors
    /// [`Error::Input`] if it is missing or not a file.
    pub fn of(&mut self, path: &Path) -> Result<FileRecord> {
        let meta = std::fs::metadata(path)
            .map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => match made_by(path) {
                    Some(command) => format!("{}: no such file; create it with: {command}", path.display()),
                    None => format!(
                        "{}: no such file; expected an input that the configuration names (paths are relative \
                         to the configuration file)",
                        path.display()
                    ),
                },
                _ => format!("{}: {e}", path.display()),
            })
            .map_err(Error::input)?;
        if !meta.is_file() {
            return Err(Error::input(format!(
                "{}: not a regular file; expected a file",
                path.display()
            )));
        }
        let touched = mtime_ns(&meta);
        // the cache must not depend on the current folder
        let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        if let Some(entry) = self.known.get(path)
            && (entry.size, entry.mtime_ns, entry.inode) == (meta.len(), touched, meta.ino())
        {
            return Ok(FileRecord {
                digest: entry.digest.clone(),
                size: entry.size,
            });
        }
        tracing::debug!(path = %path.display(), size = meta.len(), "digesting an input");
        let record = FileRecord::of(path)?;
        // the cache is text
        if is_settled(&meta) && path.to_str().is_some() {
            self.known.insert(
                path.to_owned(),
                Entry {
                    size: meta.len(),
                    mtime_ns: touched,
                    inode: meta.ino(),
                    digest: record.digest.clone(),
                },
            );
            self.changed = true;
        }
        Ok(record)
    }

    /// As [`state_of`], with a check of every output's digest, from the cache for files that are
    /// unchanged.
    pub fn state_of(&mut self, dir: &Path) -> State {
        match state_of(dir) {
            State::Whole(manifest) => match self.differing_output(dir, &manifest) {
                Some(wrong) => wrong.into(),
                None => State::Whole(manifest),
            },
            state => state,
        }
    }

    fn differing_output(&mut self, dir: &Path, manifest: &Manifest) -> Option<Wrong> {
        (manifest.outputs.iter()).find_map(|(name, recorded)| {
            let file = dir.join(name);
            // a cached digest does not imply permission to read
            if let Some(why) = unreadable(&file) {
                return Some(Wrong::Unreadable(why));
            }
            match self.of(&file) {
                Ok(found) if found == *recorded => None,
                Ok(found) => Some(Wrong::Damaged(mismatch(name, &found, recorded))),
                Err(why) => Some(Wrong::Damaged(why.to_string())),
            }
        })
    }

    /// Writes the cache. A failure only costs time in the next run.
    pub fn save(&mut self) {
        if !self.changed || !self.file.parent().is_some_and(Path::is_dir) {
            return;
        }
        let mut all = read(&self.file);
        all.append(&mut self.known.clone());
        let text = sealed::seal(&all).expect("text and numbers");
        match disk::write_lightly(&self.file, text.as_bytes()) {
            Ok(()) => self.changed = false,
            Err(e) => tracing::debug!("{e}"),
        }
    }
}

/// False for a file modified just now: within the clock's resolution it may change again without a
/// new time.
pub fn is_settled(meta: &Metadata) -> bool {
    let touched = meta.modified().unwrap_or(SystemTime::now());
    let age = SystemTime::now().duration_since(touched);
    age.is_ok_and(|age| age > Duration::from_secs(2))
}

/// A damaged cache counts as empty: a wrong digest would make an intact file look changed.
fn read(file: &Path) -> BTreeMap<PathBuf, Entry> {
    let entries = || {
        let text = disk::read_small(file, LARGEST).ok()?;
        let json = sealed::open(&text).ok()?;
        serde_json::from_str(&json).ok()
    };
    entries().unwrap_or_default()
}

fn mtime_ns(meta: &Metadata) -> i128 {
    i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn age(path: &Path, seconds: u64) {
        let past = SystemTime::now() - Duration::from_secs(seconds);
        File::options()
            .write(true)
            .open(path)
            .and_then(|f| f.set_modified(past))
            .unwrap();
    }

    #[test]
    fn a_changed_file_has_a_new_digest_and_an_untouched_one_is_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("input.h5");
        std::fs::write(&path, b"one").unwrap();
        age(&path, 100);
        let mut digests = Digests::of_store(dir.path());
        let one = digests.of(&path).unwrap();
        assert_eq!(one.digest, blake3::hash(b"one").to_hex().to_string());
        digests.save();

        let mut again = Digests::of_store(dir.path());
        assert_eq!(again.of(&path).unwrap(), one);
        assert!(!again.changed);

        std::fs::write(&path, b"two").unwrap();
        age(&path, 50);
        assert_ne!(again.of(&path).unwrap(), one);
    }

    #[test]
    fn a_file_touched_just_now_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("input.h5");
        std::fs::write(&path, b"one").unwrap();
        let mut digests = Digests::of_store(dir.path());
        digests.of(&path).unwrap();
        assert!(!digests.changed);
    }

    #[test]
    fn a_damaged_cache_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".digests.json"), b"{{{").unwrap();
        assert!(Digests::of_store(dir.path()).known.is_empty());
    }

    #[test]
    fn a_missing_input_is_wrong_input() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Digests::of_store(dir.path()).of(&dir.path().join("no.h5"));
        assert!(matches!(missing, Err(Error::Input(_))));
    }
}
