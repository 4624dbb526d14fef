//! Names of unfinished and internal files, for the code that creates and removes them. Only names
//! created here are ever removed.
//!
//! | name | in | what |
//! |---|---|---|
//! | `.tmp-<fingerprint>-<maker>` | a stage's folder | an artifact under construction |
//! | `.old-<fingerprint>-<maker>` | a stage's folder | an artifact being removed by an older version |
//! | `.lock-<fingerprint>` | a stage's folder | the claim on an artifact |
//! | `.training-<fingerprint>` | a stage's folder | the checkpoints of a training |
//! | `.<name>.tmp-<maker>-<nanoseconds>-<count>` | anywhere in a store | a temporary file of `name` |
//!
//! A maker is a process together with its system ([`Maker`]).

use latent_align_hdf5::temporary::{self, Maker};

const DRAFT: &str = ".tmp-";
const REPLACED: &str = ".old-";
const LOCK: &str = ".lock-";
const TRAINING: &str = ".training-";
/// Hexadecimal digits of a fingerprint.
const FINGERPRINT: usize = 16;

/// The meaning of a name created here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name<'a> {
    /// An artifact under construction, by its fingerprint.
    Draft(&'a str),
    /// An artifact being removed by an older version.
    Replaced(&'a str),
    /// The claim on an artifact.
    Lock(&'a str),
    /// The checkpoints of a training.
    Training(&'a str),
    /// A temporary file or folder, and its creator.
    Temporary(Maker),
}

impl<'a> Name<'a> {
    /// Parses `name`; none for a name that this program does not create.
    pub fn of(name: &'a str) -> Option<Self> {
        let made = |rest: &'a str| {
            let (fingerprint, maker) = rest.split_once('-')?;
            Maker::parse(maker)?;
            is_fingerprint(fingerprint).then_some(fingerprint)
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
        temporary::parse(name).map(|(_, maker)| Self::Temporary(maker))
    }
}

fn is_fingerprint(text: &str) -> bool {
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.len() == FINGERPRINT && text.bytes().all(is_digit)
}

/// The temporary name of the artifact `fingerprint` in this process.
pub fn draft(fingerprint: &str) -> String {
    format!("{DRAFT}{fingerprint}-{}", Maker::this())
}

/// The name of the lock of the artifact `fingerprint`.
pub fn lock(fingerprint: &str) -> String {
    format!("{LOCK}{fingerprint}")
}

/// The name of the folder of checkpoints of the artifact `fingerprint`.
pub fn training(fingerprint: &str) -> String {
    format!("{TRAINING}{fingerprint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const FINGERPRINT: &str = "00112233445566aa";

    #[test]
    fn what_is_made_is_known_again() {
        let known = |name: &str| Name::of(name).map(|n| format!("{n:?}"));
        let expected = |what: &str| Some(format!("{what}(\"{FINGERPRINT}\")"));
        assert_eq!(known(&draft(FINGERPRINT)), expected("Draft"));
        let replaced = format!(".old-{FINGERPRINT}-{}", Maker::this());
        assert_eq!(known(&replaced), expected("Replaced"));
        assert_eq!(known(&lock(FINGERPRINT)), expected("Lock"));
        assert_eq!(known(&training(FINGERPRINT)), expected("Training"));
        let made = temporary::beside(Path::new("/store.tmp-1/runs/run.json"));
        let made = made.file_name().unwrap().to_str().unwrap();
        assert_eq!(Name::of(made), Some(Name::Temporary(Maker::this())));
        // names in older versions
        for old in [
            ".tmp-00112233445566aa-7",
            ".old-00112233445566aa-7",
            ".run.json.tmp-7-8-9",
        ] {
            assert!(Name::of(old).is_some(), "{old}");
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
            ".tmp-00112233445566aa-0011-7",
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
