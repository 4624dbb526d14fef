//! One process computes an artifact; others wait for it.
//!
//! The lock is the operating system's on `.lock-<fingerprint>`, so the kernel frees it when its
//! holder dies. The file is removed when the lock is given back; whoever locks it checks that the
//! name still leads to the file it locked.

use super::names;
use latent_align_stages::{Error, Result};
use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// An exclusive claim on one artifact, until dropped.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Claims `fingerprint` under the stage's `folder`, or returns `None` and who holds it.
    pub fn try_claim(folder: &Path, fingerprint: &str) -> Result<Result<Self, String>> {
        let path = folder.join(names::lock(fingerprint));
        let failed = |e: std::io::Error| Error::file(&path, e);
        loop {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    let _ = file.take(200).read_to_string(&mut holder);
                    return Ok(Err(holder.trim().to_owned()));
                }
                Err(TryLockError::Error(e)) => return Err(failed(e)),
            }
            if leads_to(&path, &file).map_err(failed)? {
                file.set_len(0)
                    .and_then(|()| file.rewind())
                    .and_then(|()| write!(file, "process {}", std::process::id()))
                    .map_err(failed)?;
                return Ok(Ok(Self { path, _file: file }));
            }
            // Its last holder removed it between our opening and our locking.
        }
    }
}

/// Whether a process holds the claim on an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// None does.
    No,
    /// One does.
    Yes,
    /// That cannot be found out, and why.
    Unknown(String),
}

/// Whether a process holds the claim on `fingerprint` under the stage's `folder`. Leaves no file behind.
pub fn held(folder: &Path, fingerprint: &str) -> Held {
    let path = folder.join(names::lock(fingerprint));
    match File::options().read(true).write(true).open(&path) {
        Ok(file) => match file.try_lock() {
            Ok(()) => Held::No,
            Err(TryLockError::WouldBlock) => Held::Yes,
            Err(TryLockError::Error(e)) => Held::Unknown(format!("{}: {e}", path.display())),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Held::No,
        Err(e) => Held::Unknown(format!("{}: {e}", path.display())),
    }
}

/// Whether `path` is still the name of the open `file`.
pub fn leads_to(path: &Path, file: &File) -> std::io::Result<bool> {
    let locked = file.metadata()?;
    let named = std::fs::metadata(path);
    Ok(named.is_ok_and(|n| (n.dev(), n.ino()) == (locked.dev(), locked.ino())))
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_claim_learns_who_holds_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::try_claim(dir.path(), "aa").unwrap().unwrap();
        let holder = Lock::try_claim(dir.path(), "aa").unwrap().unwrap_err();
        assert_eq!(holder, format!("process {}", std::process::id()));
        Lock::try_claim(dir.path(), "bb").unwrap().unwrap();
        drop(first);
        Lock::try_claim(dir.path(), "aa").unwrap().unwrap();
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }
}
