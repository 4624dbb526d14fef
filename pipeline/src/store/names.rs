//! What this program calls what is not finished or not for people, for those who make it and for those
//! who clear it away. Only names that are made here are ever cleared away.
//!
//! | name | in | what |
//! |---|---|---|
//! | `.tmp-<fingerprint>-<process>` | a stage's folder | an artifact being made |
//! | `.old-<fingerprint>-<process>` | a stage's folder | what is being removed |
//! | `.lock-<fingerprint>` | a stage's folder | the claim on an artifact |
//! | `.training-<fingerprint>` | a stage's folder | the checkpoints of a training |
//! | `.<name>.tmp-<process>-<nanoseconds>-<count>` | anywhere in a store | what will be called `name` |

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

const DRAFT: &str = ".tmp-";
const REPLACED: &str = ".old-";
const LOCK: &str = ".lock-";
const TRAINING: &str = ".training-";
/// Between what a temporary file will be called and who makes it.
const TEMPORARY: &str = ".tmp-";
/// Hexadecimal digits of a fingerprint.
const FINGERPRINT: usize = 16;

/// What a name that was made here stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// An artifact being made, by its fingerprint.
    Draft(&'a str),
    /// What is being removed.
    Replaced(&'a str),
    /// The claim on an artifact.
    Lock(&'a str),
    /// The checkpoints of a training.
    Training(&'a str),
    /// A file or folder that gets its name once it is whole.
    Temporary,
}

impl<'a> Name<'a> {
    /// What `name` stands for; none for one that this program does not make.
    pub fn of(name: &'a str) -> Option<Self> {
        let made = |rest: &'a str| {
            let (fingerprint, process) = rest.split_once('-')?;
            (is_fingerprint(fingerprint) && is_number(process)).then_some(fingerprint)
        };
        if let Some(fingerprint) = name.strip_prefix(DRAFT).and_then(made) {
            return Some(Self::Draft(fingerprint));
        }
        if let Some(fingerprint) = name.strip_prefix(REPLACED).and_then(made) {
            return Some(Self::Replaced(fingerprint));
        }
        let alone = |prefix| (name.strip_prefix(prefix)).filter(|rest| is_fingerprint(rest));
        if let Some(fingerprint) = alone(LOCK) {
            return Some(Self::Lock(fingerprint));
        }
        if let Some(fingerprint) = alone(TRAINING) {
            return Some(Self::Training(fingerprint));
        }
        let (of, maker) = name.strip_prefix('.')?.rsplit_once(TEMPORARY)?;
        let parts: Vec<&str> = maker.split('-').collect();
        let is_made = !of.is_empty() && parts.len() == 3 && parts.into_iter().all(is_number);
        is_made.then_some(Self::Temporary)
    }
}

fn is_fingerprint(text: &str) -> bool {
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.len() == FINGERPRINT && text.bytes().all(is_digit)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// What the artifact `fingerprint` is called while this process makes it.
pub fn draft(fingerprint: &str) -> String {
    format!("{DRAFT}{fingerprint}-{}", std::process::id())
}

/// What the artifact `fingerprint` is called from when it goes until it is removed.
pub fn replaced(fingerprint: &str) -> String {
    format!("{REPLACED}{fingerprint}-{}", std::process::id())
}

/// What the claim on the artifact `fingerprint` is called.
pub fn lock(fingerprint: &str) -> String {
    format!("{LOCK}{fingerprint}")
}

/// What the folder of the checkpoints of the artifact `fingerprint` is called.
pub fn training(fingerprint: &str) -> String {
    format!("{TRAINING}{fingerprint}")
}

/// A name beside `name` in `dir` that no other process or thread uses, on this host or another.
pub fn temporary(dir: &Path, name: &str) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanoseconds = now.map_or(0, |d| d.subsec_nanos());
    let process = std::process::id();
    dir.join(format!(".{name}{TEMPORARY}{process}-{nanoseconds}-{count}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: &str = "00112233445566aa";

    #[test]
    fn what_is_made_is_known_again() {
        let known = |name: &str| Name::of(name).map(|n| format!("{n:?}"));
        let expected = |what: &str| Some(format!("{what}(\"{FINGERPRINT}\")"));
        assert_eq!(known(&draft(FINGERPRINT)), expected("Draft"));
        assert_eq!(known(&replaced(FINGERPRINT)), expected("Replaced"));
        assert_eq!(known(&lock(FINGERPRINT)), expected("Lock"));
        assert_eq!(known(&training(FINGERPRINT)), expected("Training"));
        for name in ["run.json", ".index", "timings.svg", "a.tmp-b"] {
            let made = temporary(Path::new("/store.tmp-1/runs"), name);
            let made = made.file_name().unwrap().to_str().unwrap().to_owned();
            assert_eq!(Name::of(&made), Some(Name::Temporary), "{made}");
        }
    }

    #[test]
    fn what_others_make_is_not() {
        for name in [
            ".running",
            ".index",
            ".digests.json",
            ".progress.json",
            ".notes",
            ".tmp-mine",
            ".tmp-notes-1",
            ".tmp-00112233445566aa",
            ".tmp-00112233445566aa-mine",
            ".old-00112233445566aa-1.tar",
            ".lock-mine",
            ".lock-00112233445566aa.bak",
            ".training-notes",
            ".training-00112233445566AA",
            ".probe",
            ".notes.tmp-1",
            ".notes.tmp-1-2",
            ".notes.tmp-1-2-x",
            ".tmp-1-2-3",
            "notes.tmp-1-2-3",
            "00112233445566aa",
            "",
        ] {
            assert_eq!(Name::of(name), None, "{name}");
        }
    }
}
