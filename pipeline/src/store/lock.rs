//! One process computes an artifact; others wait for it.
//!
//! The lock is an operating system lock on `.lock-<fingerprint>`, so the kernel releases it when its
//! holder dies. The file is removed when the lock is released; a process that locks it checks that the
//! name still refers to the file it locked.
//!
//! On some shared file systems, each host sees only its own locks. So the file records the holding
//! process, its host and that host's boot, and on such file systems a lock of another host is never
//! taken over.

use super::names;
use super::shared::locks_are_seen_by_all_hosts;
use crate::process::host;
use latent_align_hdf5::temporary::boot;
use latent_align_stages::{Error, Result};
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The prefix in the file before the boot ID of the holder's host.
const BOOT: &str = "boot ";
/// A file that still names no holder after this time was abandoned by its creator.
const MOMENT: Duration = Duration::from_secs(10);

/// An exclusive claim on one artifact, released on drop.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Claims `fingerprint` under the stage's `folder`, or returns its holder.
    ///
    /// # Errors
    /// [`Error::File`] if the file cannot be created; [`Error::Input`] if another host may hold it and
    /// this cannot be determined.
    pub fn try_claim(folder: &Path, fingerprint: &str) -> Result<Result<Self, String>> {
        Self::try_claim_where(folder, fingerprint, locks_are_seen_by_all_hosts(folder))
    }

    /// As [`Self::try_claim`]; `seen` says whether locks are seen by all hosts.
    fn try_claim_where(
        folder: &Path,
        fingerprint: &str,
        seen: bool,
    ) -> Result<Result<Self, String>> {
        let path = folder.join(names::lock(fingerprint));
        let failed = |e: std::io::Error| Error::file(&path, e);
        loop {
            let Some(Opened { mut file, access }) = Opened::at(&path, true).map_err(failed)? else {
                continue; // its last holder has just removed it
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Err(holder(&text(&file)))),
                Err(TryLockError::Error(e)) => return Err(failed(e)),
            }
            if !leads_to(&path, &file).map_err(failed)? {
                continue; // its last holder removed it between our opening and our locking
            }
            if access != Access::New && !seen {
                match left_by(&file) {
                    Left::ByThisBoot => {}
                    Left::JustNow => return Ok(Err(String::new())),
                    Left::Elsewhere(holder) => return Err(Error::input(elsewhere(&path, &holder))),
                }
            }
            if access == Access::Read {
                // the file of an ended process of another user
                std::fs::remove_file(&path).map_err(failed)?;
                continue;
            }
            file.set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| file.write_all(about_this().as_bytes()))
                .and_then(|()| file.sync_data())
                .map_err(failed)?;
            return Ok(Ok(Self { path, _file: file }));
        }
    }
}

/// How a lock's file can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// It was created just now by this process alone, which also holds between hosts.
    New,
    /// It exists.
    Write,
    /// It exists and was created by another user.
    Read,
}

struct Opened {
    file: File,
    access: Access,
}

impl Opened {
    /// Opens the file, or creates it; none if it does not exist, or exists only for a moment.
    fn at(path: &Path, make: bool) -> std::io::Result<Option<Self>> {
        let mut options = File::options();
        options.read(true).write(true);
        if make {
            match options.clone().create_new(true).open(path) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                made => {
                    let access = Access::New;
                    return made.map(|file| Some(Self { file, access }));
                }
            }
        }
        let (opened, access) = match options.open(path) {
            Err(e) if e.kind() == ErrorKind::PermissionDenied => (File::open(path), Access::Read),
            opened => (opened, Access::Write),
        };
        match opened {
            Ok(file) => Ok(Some(Self { file, access })),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// The contents of the file while this process holds it.
fn about_this() -> String {
    let (process, host) = (std::process::id(), host());
    format!("process {process} on {host}\n{BOOT}{}\n", boot())
}

fn text(file: &File) -> String {
    let mut text = String::new();
    let _ = file.take(1000).read_to_string(&mut text);
    text
}

/// The holder named in a file with this `text`, for messages; empty if there is none.
fn holder(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// The creator of a file on which this host sees no lock.
enum Left {
    /// A process of this boot of this host, whose lock would be seen, so it has ended.
    ByThisBoot,
    /// A process that created it just now and has not yet written its identity.
    JustNow,
    /// A process of another host, or of an earlier boot of this one.
    Elsewhere(String),
}

fn left_by(file: &File) -> Left {
    let text = text(file);
    let booted = text.lines().find_map(|line| line.strip_prefix(BOOT));
    let age = file.metadata().and_then(|meta| meta.modified());
    let age = age.map(|touched| touched.elapsed().unwrap_or_default());
    match booted {
        Some(booted) if booted == boot() && !booted.is_empty() => Left::ByThisBoot,
        None if text.is_empty() && age.is_ok_and(|age| age < MOMENT) => Left::JustNow,
        _ => Left::Elsewhere(match holder(&text) {
            holder if holder.is_empty() => "an unknown process".to_owned(),
            holder => holder,
        }),
    }
}

fn elsewhere(path: &Path, holder: &str) -> String {
    format!(
        "{}: {holder} may still work on this artifact, and this host ({}) cannot see whether it does: on this \
         file system each host knows only its own locks. Let one host at a time work in the store, or mount it \
         so that locks are shared (NFS without `nolock` and `local_lock`, Lustre with `flock`); if that process \
         has ended, remove this file",
        path.display(),
        host()
    )
}

/// Whether a process holds the claim on an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// No process does.
    No,
    /// A process does.
    Yes,
    /// This cannot be determined, and why.
    Unknown(String),
}

/// Whether a process holds the claim on `fingerprint` under the stage's `folder`. Leaves no file behind.
pub fn held(folder: &Path, fingerprint: &str) -> Held {
    held_where(folder, fingerprint, locks_are_seen_by_all_hosts(folder))
}

/// As [`held`]; `seen` says whether locks are seen by all hosts.
fn held_where(folder: &Path, fingerprint: &str, seen: bool) -> Held {
    let path = folder.join(names::lock(fingerprint));
    let failed = |e: std::io::Error| Held::Unknown(format!("{}: {e}", path.display()));
    let file = match Opened::at(&path, false) {
        Ok(Some(opened)) => opened.file,
        Ok(None) => return Held::No,
        Err(e) => return failed(e),
    };
    match file.try_lock() {
        Ok(()) if seen => Held::No,
        Ok(()) => match left_by(&file) {
            Left::ByThisBoot => Held::No,
            Left::JustNow => Held::Yes,
            Left::Elsewhere(holder) => Held::Unknown(elsewhere(&path, &holder)),
        },
        Err(TryLockError::WouldBlock) => Held::Yes,
        Err(TryLockError::Error(e)) => failed(e),
    }
}

/// Whether `path` still refers to the open `file`.
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
        assert_eq!(
            holder,
            format!("process {} on {}", std::process::id(), host())
        );
        Lock::try_claim(dir.path(), "bb").unwrap().unwrap();
        drop(first);
        Lock::try_claim(dir.path(), "aa").unwrap().unwrap();
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }

    /// The lock file that a process of another host has while it works, or leaves when it is killed.
    fn of_another_host(dir: &Path) -> PathBuf {
        let path = dir.join(names::lock("aa"));
        std::fs::write(&path, "process 7 on node2\nboot 0-0-0\n").unwrap();
        path
    }

    /// Fails if locks are trusted on every file system.
    #[test]
    fn where_hosts_do_not_see_each_others_locks_none_takes_over_anothers() {
        let dir = tempfile::tempdir().unwrap();
        let path = of_another_host(dir.path());
        let before = std::fs::read(&path).unwrap();
        let refused = Lock::try_claim_where(dir.path(), "aa", false).unwrap_err();
        let told = refused.to_string();
        assert!(told.contains("process 7 on node2"), "{told}");
        assert!(told.contains("remove this file"), "{told}");
        let held = held_where(dir.path(), "aa", false);
        assert!(matches!(held, Held::Unknown(_)), "{held:?}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
        // where locks are visible to all hosts, a file without a lock belongs to a dead process
        assert_eq!(held_where(dir.path(), "aa", true), Held::No);
        Lock::try_claim_where(dir.path(), "aa", true)
            .unwrap()
            .unwrap();
    }

    #[test]
    fn what_a_killed_process_of_this_host_left_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(names::lock("aa")), about_this()).unwrap();
        assert_eq!(held_where(dir.path(), "aa", false), Held::No);
        let lock = Lock::try_claim_where(dir.path(), "aa", false).unwrap();
        drop(lock.unwrap());
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_holder_that_does_not_say_yet_who_it_is_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(names::lock("aa")), "").unwrap();
        let claimed = Lock::try_claim_where(dir.path(), "aa", false).unwrap();
        assert_eq!(claimed.unwrap_err(), "");
        assert_eq!(held_where(dir.path(), "aa", false), Held::Yes);
    }
}
