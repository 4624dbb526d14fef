//! Opens a file in a subprocess first, because libhdf5 1.10 crashes on some damaged files and loops for ever
//! on others. This is the parent's side; [`super::child`] is what the subprocess does.

use crate::error::{Error, Result};
use rustix::process::Signal;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};

/// What is asked of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Asked {
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
    pub(crate) fn dataset(name: &str) -> Self {
        Self::Dataset {
            name: name.to_owned(),
            rows: 1,
        }
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
    pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<(PathBuf, Self)> {
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
pub(crate) const REHEARSE: &str = "--rehearse-reading";
/// Set where this program can be asked to rehearse.
static ENABLED: AtomicBool = AtomicBool::new(false);

/// From now on files are rehearsed: this program can be asked to.
pub(crate) fn enable() {
    ENABLED.store(true, Ordering::Relaxed);
}

/// A file as it was at some time, and what was asked of it.
type Question = ([u64; 3], [i64; 2], Asked);

/// Has `asked` of the file at `path`, which is `meta`, rehearsed, once in the life of this process.
///
/// # Errors
/// An input error if libhdf5 does not survive it.
pub(crate) fn rehearse(path: &Path, meta: &Metadata, asked: &Asked) -> Result<()> {
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
        // Ctrl-C reaches this process alone
        .process_group(0)
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
    match (
        status.signal().and_then(Signal::from_named_raw),
        status.code(),
    ) {
        (Some(Signal::XCPU), _) => Some("comes to no end".to_owned()),
        // out of memory, most likely
        (Some(Signal::KILL), _) => Some("is killed".to_owned()),
        (
            Some(signal @ (Signal::SEGV | Signal::BUS | Signal::ABORT | Signal::FPE | Signal::ILL)),
            _,
        ) => Some(format!("crashes (signal {})", signal.as_raw())),
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
        assert_eq!(of(Signal::TERM.as_raw()), None);
        assert_eq!(of(Signal::KILL.as_raw()).unwrap(), "is killed");
        assert_eq!(of(Signal::SEGV.as_raw()).unwrap(), "crashes (signal 11)");
        assert_eq!(of(Signal::XCPU.as_raw()).unwrap(), "comes to no end");
        assert_eq!(of(101 << 8).unwrap(), "panics");
    }
}
