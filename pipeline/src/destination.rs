//! Output paths named by the user. Existing files are not overwritten unless `--force` is given.
//!
//! | path | without `--force` | with `--force` |
//! |---|---|---|
//! | does not exist | created | created |
//! | a regular file | refused | replaced atomically |
//! | a pipe, a terminal, `/dev/null`, `/dev/stdout` | written to | written to |
//! | a disk | refused | written to |
//! | a directory, a socket, a dangling link | refused | refused |
//!
//! Links are followed and kept.

use crate::console::visible;
use latent_align_hdf5::temporary::{self, folder_of};
use latent_align_stages::{Error, Result};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::os::fd::{AsFd as _, RawFd};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _};
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// An open destination. A file is built in a private directory beside its final path and renamed when
/// complete; if dropped before, it leaves nothing.
#[derive(Debug)]
pub struct Destination {
    named: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    File {
        /// Directory of the temporary file.
        folder: Draft,
        /// The file itself, if `named` is a link to it.
        target: PathBuf,
        is_there: bool,
    },
    Stream(File),
}

/// A directory that only this user can enter; removed when dropped.
#[derive(Debug)]
struct Draft(PathBuf);

/// What exists at a path.
#[derive(Debug, PartialEq)]
pub enum Found {
    /// Nothing; its directory may exist.
    Nothing,
    /// A regular file at this path.
    File(PathBuf),
    /// A pipe or character device.
    Stream,
    /// A file descriptor of this process.
    Descriptor(RawFd),
    /// A block device.
    Disk,
    /// Something that cannot be written, with a description.
    Other(&'static str),
}

impl Found {
    /// Examines `path` without opening it.
    ///
    /// # Errors
    /// [`Error::Input`] if it cannot be examined.
    pub fn at(path: &Path) -> Result<Self> {
        if let Some(number) = descriptor(path) {
            return Ok(Self::Descriptor(number));
        }
        let ends_in_slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let found = match std::fs::metadata(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Ok(match path.symlink_metadata() {
                    Ok(_) => Self::Other("a link to nothing"),
                    Err(_) if ends_in_slash => Self::Other("the name of a folder"),
                    Err(_) => Self::Nothing,
                });
            }
            found => found.map_err(|e| cannot(path, &e))?,
        };
        let kind = found.file_type();
        Ok(if kind.is_dir() {
            Self::Other("a folder")
        } else if kind.is_file() {
            Self::File(path.canonicalize().map_err(|e| cannot(path, &e))?)
        } else if kind.is_fifo() || kind.is_char_device() {
            Self::Stream
        } else if kind.is_block_device() {
            Self::Disk
        } else {
            Self::Other("a socket")
        })
    }

    /// Whether it may be written; regular files only with `force`.
    pub fn may_be_written(&self, force: bool) -> bool {
        match self {
            Self::Nothing | Self::Stream | Self::Descriptor(_) => true,
            Self::File(_) | Self::Disk => force,
            Self::Other(_) => false,
        }
    }

    /// Description.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::File(_) => "a file",
            Self::Stream | Self::Descriptor(_) => "a pipe or device",
            Self::Disk => "a disk",
            Self::Other(word) => word,
        }
    }
}

impl Destination {
    /// Opens `path`. Opening a pipe waits for a reader.
    ///
    /// # Errors
    /// [`Error::Input`] for something that may not be replaced, and for a directory that cannot be
    /// written.
    pub fn open(path: &Path, force: bool) -> Result<Self> {
        let found = Found::at(path)?;
        if !found.may_be_written(force) {
            let way_out = match found.may_be_written(true) {
                true => ", or replace it with --force",
                false => "",
            };
            return Err(Error::input(format!(
                "{}: found {}, expected none; choose another --out{way_out}",
                path.display(),
                found.word()
            )));
        }
        let file = |target: PathBuf, is_there| {
            Ok(Place::File {
                folder: Draft::beside(&target)?,
                target,
                is_there,
            })
        };
        let place = match found {
            Found::Descriptor(number) => duplicate(number).map(Place::Stream),
            Found::Stream | Found::Disk => {
                File::options().write(true).open(path).map(Place::Stream)
            }
            Found::File(target) => file(target, true),
            _ => file(path.to_owned(), false),
        };
        Ok(Self {
            named: path.to_owned(),
            place: place.map_err(|e| cannot(path, &e))?,
        })
    }

    /// Whether it is a pipe or a device, next to which no other files can be written.
    pub fn is_stream(&self) -> bool {
        matches!(self.place, Place::Stream(_))
    }

    /// The path as named.
    pub fn path(&self) -> &Path {
        &self.named
    }

    /// Writes `bytes`; to a terminal in [`visible`] form.
    ///
    /// # Errors
    /// [`Error::File`]; a reader that stops early is not an error.
    pub fn write(self, bytes: &[u8]) -> Result<()> {
        if let Place::Stream(mut stream) = self.place {
            let written = match stream.is_terminal() {
                true => stream.write_all(visible(&String::from_utf8_lossy(bytes)).as_bytes()),
                false => stream.write_all(bytes),
            };
            return until_enough(written).map_err(|e| Error::file(&self.named, e));
        }
        self.fill(|draft| {
            let made = File::create_new(draft).and_then(|mut file| file.write_all(bytes));
            made.map_err(|e| Error::file(draft, e))
        })
    }

    /// Calls `fill` with a temporary path, and moves the result to the destination.
    ///
    /// # Errors
    /// Those of `fill`, with the destination's path; [`Error::File`].
    pub fn fill(self, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let Self { named, place } = self;
        let failed = |e: std::io::Error| Error::file(&named, e);
        let make = |folder: &Path, name: &OsStr| {
            let draft = folder.join(name);
            fill(&draft).map(|()| draft).map_err(|e| match e {
                Error::File { message, .. } => Error::file(&named, message),
                other => other,
            })
        };
        match place {
            Place::Stream(mut stream) => {
                let place = std::env::temp_dir().join("latent-align");
                let folder = Draft::beside(&place).map_err(failed)?;
                let draft = make(&folder.0, OsStr::new("draft"))?;
                let mut draft = File::open(draft).map_err(failed)?;
                until_enough(std::io::copy(&mut draft, &mut stream).map(drop)).map_err(failed)
            }
            Place::File {
                folder,
                target,
                is_there,
            } => {
                let draft = make(&folder.0, target.file_name().unwrap_or_default())?;
                put(&draft, &target, is_there).map_err(|e| match e.kind() {
                    ErrorKind::AlreadyExists => Error::input(format!(
                        "{}: found a file that was created meanwhile, and kept it; replace it with --force",
                        named.display()
                    )),
                    _ => failed(e),
                })
            }
        }
    }
}

/// Moves the file `draft` to `target`, and syncs both to disk.
fn put(draft: &Path, target: &Path, is_there: bool) -> std::io::Result<()> {
    if is_there {
        // keep the permissions of the replaced file
        std::fs::set_permissions(draft, std::fs::metadata(target)?.permissions())?;
    }
    File::open(draft)?.sync_all()?;
    if is_there {
        std::fs::rename(draft, target)?;
    } else {
        TempPath::try_from_path(draft)?.persist_noclobber(target)?;
    }
    File::open(folder_of(target))?.sync_all()
}

impl Draft {
    /// Creates a directory beside `target`, and removes those left by killed processes for the same
    /// target.
    fn beside(target: &Path) -> std::io::Result<Self> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        temporary::remove_abandoned(folder_of(target), |of| of == name);
        let folder = temporary::beside(target);
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // best effort: leftovers only take space
    }
}

fn cannot(path: &Path, why: &std::io::Error) -> Error {
    let why = match why.kind() {
        ErrorKind::NotFound => format!("there is no folder {}", folder_of(path).display()),
        _ => why.to_string(),
    };
    Error::input(format!(
        "{}: cannot be written ({why}); choose another --out",
        path.display()
    ))
}

/// A reader that stops early is not an error.
fn until_enough(written: std::io::Result<()>) -> std::io::Result<()> {
    written.or_else(|e| match e.kind() {
        ErrorKind::BrokenPipe => Ok(()),
        _ => Err(e),
    })
}

/// The open file descriptor of this process that `path` refers to, such as `/dev/stdout` or
/// `/dev/fd/3`. Opening it by name would create a second description that overwrites what the first one
/// wrote.
fn descriptor(path: &Path) -> Option<RawFd> {
    let own = Path::new("/proc/self/fd").canonicalize().ok()?;
    let mut path = std::path::absolute(path).ok()?;
    for _ in 0..LONGEST_CHAIN {
        let folder = path.parent()?.canonicalize().ok()?;
        if folder == own {
            return path.file_name()?.to_str()?.parse().ok();
        }
        path = folder.join(path.read_link().ok()?);
    }
    None
}

/// Maximum number of links to follow.
const LONGEST_CHAIN: usize = 40;

/// A duplicate of the open file `number`, which shares its position. Where the kernel or a sandbox does not allow that
/// for other files than standard output and standard error, the file is reopened for appending, which makes no
/// difference for a pipe.
fn duplicate(number: RawFd) -> std::io::Result<File> {
    match number {
        1 => {
            return std::io::stdout()
                .as_fd()
                .try_clone_to_owned()
                .map(File::from);
        }
        2 => {
            return std::io::stderr()
                .as_fd()
                .try_clone_to_owned()
                .map(File::from);
        }
        _ => {}
    }
    let own = pidfd_open(getpid(), PidfdFlags::empty());
    match own.and_then(|own| pidfd_getfd(own, number, PidfdGetfdFlags::empty())) {
        Ok(copy) => Ok(copy.into()),
        Err(Errno::BADF) => Err(Errno::BADF.into()),
        Err(_) => File::options()
            .append(true)
            .open(format!("/proc/self/fd/{number}")),
    }
}
