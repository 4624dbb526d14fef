//! Opens a file in a subprocess first, because libhdf5 1.10 crashes on some damaged files and loops forever
//! on others. This is the parent's side; [`super::child`] is the subprocess.

use crate::error::{Error, Result};
use crate::name::absolute;
use rustix::process::Signal;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard};

/// What to read from a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Asked {
    /// Its listing.
    Listing,
    /// The layout of a dataset, and its first items.
    Dataset {
        /// Its path in the file.
        name: String,
        /// Number of items.
        rows: usize,
    },
    /// The same of several datasets.
    Datasets {
        /// Their paths in the file.
        names: Vec<String>,
        /// Number of items.
        rows: usize,
    },
}

impl Asked {
    /// A dataset whose numbers will be read.
    pub(crate) fn dataset(name: &str) -> Self {
        Self::Dataset {
            name: name.to_owned(),
            rows: 1,
        }
    }

    /// As arguments of the subprocess.
    fn arguments(&self, path: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![REHEARSE.into(), path.into()];
        let (names, rows) = match self {
            Self::Listing => return arguments,
            Self::Dataset { name, rows } => (std::slice::from_ref(name), rows),
            Self::Datasets { names, rows } => (&names[..], rows),
        };
        arguments.push(rows.to_string().into());
        arguments.extend(names.iter().map(OsString::from));
        arguments
    }

    /// Parses [`Self::arguments`] into file and query.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<(PathBuf, Self)> {
        let path = arguments.next()?.into();
        let Some(rows) = arguments.next() else {
            return Some((path, Self::Listing));
        };
        let rows = rows.to_str()?.parse().ok()?;
        let names = arguments.map(|name| name.into_string().ok());
        let mut names: Vec<String> = names.collect::<Option<_>>()?;
        let asked = match names.len() {
            1 => Self::Dataset {
                name: names.remove(0),
                rows,
            },
            _ => Self::Datasets { names, rows },
        };
        Some((path, asked))
    }
}

/// First argument of the subprocess.
pub(crate) const REHEARSE: &str = "--rehearse-reading";
/// Whether this program supports trial readings.
static ENABLED: AtomicBool = AtomicBool::new(false);

/// Enables trial readings: this program supports them.
pub(crate) fn enable() {
    ENABLED.store(true, Ordering::Relaxed);
}

/// Identity of a file's version, and the query.
type Question = ([u64; 3], [i64; 2], Asked);

/// Trial readings that passed.
static PASSED: LazyLock<Mutex<HashSet<Question>>> = LazyLock::new(Mutex::default);

fn passed() -> MutexGuard<'static, HashSet<Question>> {
    PASSED.lock().expect("nobody panics with it")
}

fn question(meta: &Metadata, mut asked: Asked) -> Question {
    if let Asked::Dataset { name, .. } = &mut asked {
        *name = absolute(name); // `a` and `/a` are the same
    }
    (
        [meta.dev(), meta.ino(), meta.len()],
        [meta.mtime(), meta.mtime_nsec()],
        asked,
    )
}

/// Runs a trial reading of `asked` on the file at `path` with metadata `meta`, once per process.
///
/// # Errors
/// An input error if libhdf5 does not survive it.
pub(crate) fn rehearse(path: &Path, meta: &Metadata, asked: &Asked) -> Result<()> {
    let question = question(meta, asked.clone());
    if !ENABLED.load(Ordering::Relaxed) || passed().contains(&question) {
        return Ok(());
    }
    if let Trial::Damaged(damage) = trial(path, asked)? {
        let place = match asked {
            Asked::Dataset { name, .. } => format!("`{name}` in {}", path.display()),
            Asked::Listing | Asked::Datasets { .. } => path.display().to_string(),
        };
        return Err(Error::input(format!(
            "{place} is damaged: libhdf5 {damage} while reading it. Copy or create the file again"
        )));
    }
    passed().insert(question);
    Ok(())
}

/// The number of datasets in one trial reading, within the limits of a command line and of its time.
const TOGETHER: usize = 100;

/// Runs trial readings of many datasets together, with the first `rows` items of each. Those that pass need no trial
/// of their own when they are read; the others get one, which names the damaged dataset. Stops once `cancelled`.
pub fn rehearse_together(path: &Path, names: &[String], rows: usize, cancelled: &dyn Fn() -> bool) {
    let meta = std::fs::metadata(path).ok().filter(Metadata::is_file);
    let Some(meta) = meta.filter(|_| ENABLED.load(Ordering::Relaxed)) else {
        return;
    };
    // reading numbers needs one item at least
    let tried = rows.max(1);
    for names in names.chunks(TOGETHER) {
        if cancelled() {
            return;
        }
        let asked = Asked::Datasets {
            names: names.to_vec(),
            rows: tried,
        };
        if matches!(trial(path, &asked), Ok(Trial::Passed)) {
            let each = names.iter().flat_map(|name| {
                let of = |rows| Asked::Dataset {
                    name: name.clone(),
                    rows,
                };
                [of(1), of(rows), of(tried)]
            });
            passed().extend(each.map(|asked| question(&meta, asked)));
        }
    }
}

/// The outcome of a trial reading.
enum Trial {
    Passed,
    /// How libhdf5 failed.
    Damaged(String),
    /// No subprocess could be started.
    NotRun,
}

/// Reads what is `asked` in a subprocess.
///
/// # Errors
/// An input error if the subprocess was stopped twice.
fn trial(path: &Path, asked: &Asked) -> Result<Trial> {
    // this same executable, even if its file was replaced
    let rehearsal = || {
        Command::new("/proc/self/exe")
            .args(asked.arguments(path))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C reaches this process alone
            .process_group(0)
            .status()
    };
    let stopped = |status: &ExitStatus| {
        let signal = status.signal().and_then(Signal::from_named_raw);
        matches!(signal, Some(Signal::TERM | Signal::INT | Signal::HUP))
    };
    let mut trial = rehearsal();
    if trial.as_ref().is_ok_and(stopped) {
        trial = rehearsal(); // whoever stops all processes of a job may mean this one to end in order
    }
    match trial {
        Ok(status) if stopped(&status) => Err(Error::input(format!(
            "the trial reading of {} was stopped by a signal twice, so that it is not known whether the file is \
             damaged; run the command again",
            path.display()
        ))),
        Ok(status) => Ok(damage(status).map_or(Trial::Passed, Trial::Damaged)),
        Err(error) => {
            tracing::debug!(
                "{} is read without a trial in a subprocess: {error}",
                path.display()
            );
            Ok(Trial::NotRun)
        }
    }
}

/// Describes how a process failed; `None` if it succeeded or was stopped from outside.
fn damage(status: ExitStatus) -> Option<String> {
    match (
        status.signal().and_then(Signal::from_named_raw),
        status.code(),
    ) {
        (Some(Signal::XCPU), _) => Some("does not terminate".to_owned()),
        // most likely out of memory
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
            Asked::Datasets {
                names: ["a", "--x", ""].map(str::to_owned).to_vec(),
                rows: 3,
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
        assert_eq!(of(Signal::XCPU.as_raw()).unwrap(), "does not terminate");
        assert_eq!(of(101 << 8).unwrap(), "panics");
    }
}
