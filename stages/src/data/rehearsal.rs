//! What libhdf5 is asked of a file, asked first in a process of its own: 1.10 crashes on some damaged
//! files, and goes round for ever in others.

use super::contents::Contents;
use super::hdf5_raw::count_chunks;
use super::listing::{FileListing, describe};
use super::open::{open_dataset, open_file};
use crate::error::{Error, Result};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};

/// What is asked of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    /// What it holds.
    Listing,
    /// How a dataset lies in it, and its first items.
    Dataset {
        /// Its path in the file.
        name: String,
        /// How many items.
        rows: usize,
    },
}

impl Asked {
    /// A dataset, of which numbers are read.
    pub(super) fn dataset(name: &str) -> Self {
        Self::Dataset {
            name: name.to_owned(),
            rows: 1,
        }
    }

    fn ask(&self, path: &Path) -> Result<()> {
        let Self::Dataset { name, rows } = self else {
            return FileListing::read(path).map(drop);
        };
        let file = open_file(path, self)?;
        let dataset = open_dataset(&file, path, name)?;
        let _ = describe(&dataset, name);
        let _ = count_chunks(&dataset);
        Contents::read(path, name, false, *rows).map(drop)
    }

    /// As arguments of the process that asks.
    fn arguments(&self, path: &Path) -> Vec<OsString> {
        let mut arguments = vec![REHEARSE.into(), path.into()];
        if let Self::Dataset { name, rows } = self {
            arguments.extend([rows.to_string().into(), name.into()]);
        }
        arguments
    }

    /// The file and the question of [`Self::arguments`].
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<(PathBuf, Self)> {
        let path = arguments.next()?.into();
        let asked = match (arguments.next(), arguments.next()) {
            (Some(rows), Some(name)) => Self::Dataset {
                name: name.into_string().ok()?,
                rows: rows.to_str()?.parse().ok()?,
            },
            _ => Self::Listing,
        };
        Some((path, asked))
    }
}

/// The first argument of a process that rehearses.
const REHEARSE: &str = "--rehearse-reading";
/// Set where this program can be asked to rehearse.
static ENABLED: AtomicBool = AtomicBool::new(false);

/// To be called first by a program that reads files of others. True in a process that rehearses a
/// reading: it is over, and the program ends. Files are read without a rehearsal by programs that do not
/// call it.
pub fn is_rehearsal() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(REHEARSE)) {
        ENABLED.store(true, Ordering::Relaxed);
        return false;
    }
    if let Some((path, asked)) = Asked::parse(arguments) {
        limit(&path);
        // What it says is of no matter: who asked asks again, and is told the same.
        let _ = asked.ask(&path);
    }
    true
}

/// Seconds of a processor, to which comes one for each so many bytes of the file, and the most.
const SECONDS: u64 = 10;
const BYTES_A_SECOND: u64 = 8 << 20;
const MOST_SECONDS: u64 = 60;

/// Bounds this process, which leaves no core behind, ends with its parent, and does not hear of Ctrl-C:
/// its parent does.
fn limit(path: &Path) {
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    let seconds = (SECONDS + size / BYTES_A_SECOND).min(MOST_SECONDS);
    let set = |resource, soft, hard| {
        let limits = libc::rlimit {
            rlim_cur: soft,
            rlim_max: hard,
        };
        // SAFETY: the call reads the limits.
        unsafe { libc::setrlimit(resource, &limits) };
    };
    set(libc::RLIMIT_CORE, 0, 0);
    set(libc::RLIMIT_CPU, seconds, seconds + 1);
    // SAFETY: this call of `prctl` takes a number alone.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: to ignore a signal runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// A file as it was at some time, and what was asked of it.
type Question = ([u64; 3], [i64; 2], Asked);

/// Has `asked` of the file at `path`, which is `meta`, rehearsed, once in the life of this process.
///
/// # Errors
/// An input error if libhdf5 does not survive it.
pub(super) fn rehearse(path: &Path, meta: &Metadata, asked: &Asked) -> Result<()> {
    static PASSED: LazyLock<Mutex<HashSet<Question>>> = LazyLock::new(Mutex::default);
    let passed = || PASSED.lock().expect("nobody panics with it");
    let question = (
        [meta.dev(), meta.ino(), meta.len()],
        [meta.mtime(), meta.mtime_nsec()],
        asked.clone(),
    );
    if !ENABLED.load(Ordering::Relaxed) || passed().contains(&question) {
        return Ok(());
    }
    // this very program, even if another file has its name by now
    let rehearsal = Command::new("/proc/self/exe")
        .args(asked.arguments(path))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let damage = match rehearsal {
        Ok(status) => damage(status),
        Err(error) => {
            tracing::debug!("{} is read without a rehearsal: {error}", path.display());
            None
        }
    };
    if let Some(damage) = damage {
        let place = match asked {
            Asked::Listing => path.display().to_string(),
            Asked::Dataset { name, .. } => format!("`{name}` in {}", path.display()),
        };
        return Err(Error::input(format!(
            "{place} is damaged: libhdf5 {damage} when it reads it. Copy or create the file again"
        )));
    }
    passed().insert(question);
    Ok(())
}

/// What became of a process that did not end well; `None` also where somebody else stopped it.
fn damage(status: ExitStatus) -> Option<String> {
    match (status.signal(), status.code()) {
        (Some(libc::SIGXCPU), _) => Some("comes to no end".to_owned()),
        // out of memory, most likely
        (Some(libc::SIGKILL), _) => Some("is killed".to_owned()),
        (
            Some(
                signal @ (libc::SIGSEGV
                | libc::SIGBUS
                | libc::SIGABRT
                | libc::SIGFPE
                | libc::SIGILL),
            ),
            _,
        ) => Some(format!("crashes (signal {signal})")),
        (None, Some(code)) if code != 0 => Some("panics".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_survives_its_arguments() {
        let path = Path::new("a folder/--x.h5");
        for asked in [
            Asked::Listing,
            Asked::dataset("inner/--rows"),
            Asked::Dataset {
                name: String::new(),
                rows: 7,
            },
        ] {
            let mut arguments = asked.arguments(path).into_iter();
            assert_eq!(arguments.next().unwrap(), REHEARSE);
            assert_eq!(Asked::parse(arguments), Some((path.to_owned(), asked)));
        }
    }

    #[test]
    fn only_what_a_process_does_to_itself_is_damage() {
        let of = |raw| damage(ExitStatus::from_raw(raw));
        assert_eq!(of(0), None);
        assert_eq!(of(libc::SIGTERM), None);
        assert_eq!(of(libc::SIGKILL).unwrap(), "is killed");
        assert_eq!(of(libc::SIGSEGV).unwrap(), "crashes (signal 11)");
        assert_eq!(of(libc::SIGXCPU).unwrap(), "comes to no end");
        assert_eq!(of(101 << 8).unwrap(), "panics");
    }
}
