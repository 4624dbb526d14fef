//! Crash-safe writing: a crash, a full disk or a power failure leaves either the old or the new state.
//! Files are written under a temporary name, synced, and renamed.

use latent_align_hdf5::temporary::{self, folder_of};
pub use latent_align_stages::persist::sync;
use latent_align_stages::{Error, Result};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Turns the signal for exceeding the process's file size limit, which would end the process, into an
/// error that names the file.
pub fn ignore_size_limit_signal() {
    // with a handler the write fails instead
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}

/// Writes `bytes` to a new file and syncs it.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    File::create(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(|e| {
            Error::file(
                path,
                format!("{e} ({} bytes were to be written)", bytes.len()),
            )
        })
}

/// Renames `from`, which is synced, to `to`, and syncs the rename.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).map_err(|e| Error::file(to, e))?;
    sync(folder_of(to))
}

/// As [`rename`] for a temporary `from`, which is removed on failure.
pub fn place(from: &Path, to: &Path) -> Result<()> {
    let placed = rename(from, to);
    if placed.is_err() && from.symlink_metadata().is_ok() {
        remove(from);
    }
    placed
}

/// Atomically exchanges the folders `a` and `b` of one file system, and syncs the exchange.
pub fn exchange(a: &Path, b: &Path) -> Result<()> {
    let Err(error) = latent_align_hdf5::exchange(a, b) else {
        return sync(folder_of(b));
    };
    match Errno::from_io_error(&error) {
        Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => exchange_by_renaming(a, b),
        _ => Err(Error::file(b, error)),
    }
}

/// The same for file systems without an exchange, such as NFS: for a moment `b` does not exist.
fn exchange_by_renaming(a: &Path, b: &Path) -> Result<()> {
    let aside = temporary::beside(b);
    let renamed = std::fs::rename(b, &aside).and_then(|()| {
        std::fs::rename(a, b).inspect_err(|_| {
            // restore if possible
            let _ = std::fs::rename(&aside, b);
        })
    });
    renamed.map_err(|e| Error::file(b, e))?;
    std::fs::rename(&aside, a).map_err(|e| Error::file(a, e))?;
    sync(folder_of(b))
}

/// Atomically writes `text` to the file `name` in the folder `dir`, and syncs it; an equal file is left
/// alone.
pub fn write_whole(dir: &Path, name: &str, text: &str) -> Result<()> {
    let file = dir.join(name);
    if std::fs::read_to_string(&file).is_ok_and(|found| found == text) {
        return Ok(());
    }
    create_folder(dir)?;
    let made = temporary::beside(&dir.join(name));
    if let Err(error) = write_synced(&made, text.as_bytes()) {
        let _ = std::fs::remove_file(&made);
        return Err(error);
    }
    place(&made, &file)
}

/// Atomically writes `bytes` to `file` without syncing, for data that can be recreated or lost.
pub fn write_lightly(file: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |e: std::io::Error| Error::file(file, e);
    std::fs::create_dir_all(folder_of(file)).map_err(failed)?;
    let made = temporary::beside(file);
    let written = std::fs::write(&made, bytes).and_then(|()| std::fs::rename(&made, file));
    if written.is_err() {
        let _ = std::fs::remove_file(&made);
    }
    written.map_err(failed)
}

/// Creates the folder `path` and missing parents, and syncs them.
pub fn create_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = folder_of(path);
    if above != path {
        create_folder(above)?;
    }
    match std::fs::create_dir(path) {
        // another process created it meanwhile
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made.map_err(|e| Error::file(path, e))?,
    }
    sync(above)
}

/// The text of a file of at most `largest` bytes; larger files are not read.
pub fn read_small(path: &Path, largest: u64) -> Result<String> {
    let failed = |e: std::io::Error| Error::file(path, e);
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(largest + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > largest {
        return Err(Error::file(
            path,
            format!("has more than the maximum of {largest} bytes"),
        ));
    }
    String::from_utf8(bytes).map_err(|_| Error::file(path, "is not UTF-8"))
}

/// The entries of the folder `path`, sorted; empty if it does not exist.
///
/// # Errors
/// `path` exists but cannot be listed, such as a dangling link.
pub fn entries(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !is_there(path)? {
        return Ok(Vec::new());
    }
    let entries = path.read_dir()?.map(|entry| Ok(entry?.path()));
    let mut entries = entries.collect::<std::io::Result<Vec<PathBuf>>>()?;
    entries.sort();
    Ok(entries)
}

/// Whether the file `path` exists; a path below a file does not.
///
/// # Errors
/// It exists and cannot be opened, or its existence cannot be determined.
pub fn can_be_read(path: &Path) -> std::io::Result<bool> {
    match is_there(path) {
        Ok(true) => {}
        Err(e) if e.kind() != std::io::ErrorKind::NotADirectory => return Err(e),
        _ => return Ok(false),
    }
    // other kinds are not opened: a pipe would block
    if path.metadata()?.is_file() {
        File::open(path)?;
    }
    Ok(true)
}

/// Whether `path` exists, including as a dangling link.
pub fn is_there(path: &Path) -> std::io::Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Removes `path`; a failure is logged.
pub fn remove(path: &Path) {
    let removed = if path.is_dir() && !path.is_symlink() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    if let Err(e) = removed {
        tracing::warn!("{}: {e}", path.display());
    }
}

/// Removes `path` atomically: it is first renamed.
///
/// # Errors
/// It cannot be removed; it may already have been renamed.
pub fn remove_at_once(path: &Path) -> Result<()> {
    let aside = temporary::beside(path);
    let renamed = std::fs::rename(path, &aside).map_err(|e| Error::file(path, e));
    renamed.and_then(|()| sync(folder_of(path)))?;
    let removed = match aside.is_dir() && !aside.is_symlink() {
        true => std::fs::remove_dir_all(&aside),
        false => std::fs::remove_file(&aside),
    };
    removed.map_err(|e| Error::file(&aside, e))
}

/// Removes the entries of `folder` for which `goes` holds; no other process may be writing them.
pub fn remove_those(folder: &Path, goes: impl Fn(&str) -> bool) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(&goes) {
            remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_change_places_with_and_without_the_systems_help() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
        for folder in [&a, &b] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("name"), folder.display().to_string()).unwrap();
        }
        let held = |folder: &Path| std::fs::read_to_string(folder.join("name")).unwrap();
        for change in [exchange, exchange_by_renaming] {
            let before = (held(&a), held(&b));
            change(&a, &b).unwrap();
            assert_eq!((held(&b), held(&a)), before);
            assert_eq!(dir.path().read_dir().unwrap().count(), 2);
        }
        // a missing entry leaves the other unchanged
        let before = held(&b);
        assert!(exchange_by_renaming(&dir.path().join("absent"), &b).is_err());
        assert_eq!(held(&b), before);
    }
}
