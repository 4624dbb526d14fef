//! Whether an artifact on disk matches its manifest.

use super::disk;
use super::file_record::{FileRecord, mismatch};
use super::layout::MANIFEST;
use super::manifest::Manifest;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Component, Path};

/// The state of an artifact's folder.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// No artifact.
    Absent,
    /// An intact artifact.
    Whole(Box<Manifest>),
    /// An unusable artifact, and why.
    Damaged(String),
    /// An artifact that this user may not read, and why; it may be intact.
    Unreadable(String),
}

/// What is wrong with an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// It is damaged.
    Damaged(String),
    /// It cannot be read or understood, so its state is unknown.
    Unreadable(String),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Damaged(why) => f.write_str(why),
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
        }
    }
}

impl From<Wrong> for State {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Damaged(why) => Self::Damaged(why),
            Wrong::Unreadable(why) => Self::Unreadable(why),
        }
    }
}

/// Why this user cannot read `path`, if it exists.
pub fn unreadable(path: &Path) -> Option<String> {
    let why = disk::can_be_read(path).err()?;
    Some(format!("{}: {why}", path.display()))
}

/// Reads the manifest in `dir` and checks that every output exists with its size. Fast: outputs are
/// not read.
pub fn state_of(dir: &Path) -> State {
    match dir.metadata() {
        Ok(meta) if meta.is_dir() => {}
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            return State::Unreadable(format!("{}: {e}", dir.display()));
        }
        _ => return State::Absent,
    }
    if let Some(why) = unreadable(&dir.join(MANIFEST)) {
        return State::Unreadable(why);
    }
    match Manifest::read(dir) {
        Err(e) => State::Damaged(e.to_string()),
        Ok(manifest) => match missing(dir, sizes(&manifest)) {
            Some(wrong) => wrong.into(),
            None => State::Whole(Box::new(manifest)),
        },
    }
}

fn sizes(manifest: &Manifest) -> impl Iterator<Item = (&str, u64)> {
    let outputs = manifest.outputs.iter();
    outputs.map(|(name, record)| (name.as_str(), record.size))
}

/// The first of `outputs`, names and sizes, that is not as recorded in `dir`, if any. Outputs are
/// not read.
pub fn missing<'a>(dir: &Path, outputs: impl IntoIterator<Item = (&'a str, u64)>) -> Option<Wrong> {
    let wrong = |(name, size)| {
        if !is_confined(name) {
            let why = format!("the output `{name}` would lie outside the artifact");
            return Some(Wrong::Damaged(why));
        }
        let why = match std::fs::symlink_metadata(dir.join(name)) {
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                return Some(Wrong::Unreadable(format!("the output {name}: {e}")));
            }
            Err(_) => format!("the output {name} is missing"),
            Ok(meta) if !meta.is_file() => format!("the output {name} is not a regular file"),
            Ok(meta) if meta.len() != size => format!(
                "the output {name} has {} bytes, its manifest says {size}",
                meta.len(),
            ),
            Ok(_) => return None,
        };
        Some(Wrong::Damaged(why))
    };
    outputs.into_iter().find_map(wrong)
}

/// True for a relative path without special components.
pub fn is_confined(name: &str) -> bool {
    !name.is_empty()
        && Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
}

/// Reads every output and compares its digest. Returns one line for each difference.
pub fn verify_digests(dir: &Path, manifest: &Manifest) -> Vec<Wrong> {
    let outputs = manifest.outputs.iter();
    outputs
        .filter_map(|(name, record)| verify_output(dir, name, record))
        .collect()
}

/// Reads the output `name` and compares its digest. Returns a line if it differs from `record`.
pub fn verify_output(dir: &Path, name: &str, record: &FileRecord) -> Option<Wrong> {
    if !is_confined(name) {
        let why = format!("{name}: would lie outside the artifact");
        return Some(Wrong::Damaged(why));
    }
    let file = dir.join(name);
    if let Some(why) = unreadable(&file) {
        return Some(Wrong::Unreadable(why));
    }
    match FileRecord::of(&file) {
        Ok(found) if found == *record => None,
        Ok(found) => Some(Wrong::Damaged(mismatch(name, &found, record))),
        Err(e) => Some(Wrong::Damaged(e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::manifest;
    use super::*;

    fn artifact(content: &[u8]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut m = manifest();
        std::fs::write(dir.path().join("w.bin"), content).unwrap();
        let record = FileRecord::of(&dir.path().join("w.bin")).unwrap();
        m.outputs.insert("w.bin".into(), record);
        std::fs::write(dir.path().join(MANIFEST), m.text().unwrap()).unwrap();
        dir
    }

    #[test]
    fn a_missing_or_shortened_output_is_damage() {
        let dir = artifact(b"weights");
        assert!(matches!(state_of(dir.path()), State::Whole(_)));
        std::fs::write(dir.path().join("w.bin"), b"w").unwrap();
        assert!(matches!(state_of(dir.path()), State::Damaged(why) if why.contains("1 bytes")));
        std::fs::remove_file(dir.path().join("w.bin")).unwrap();
        assert!(matches!(state_of(dir.path()), State::Damaged(why) if why.contains("missing")));
    }

    #[test]
    fn one_flipped_bit_is_found_by_the_digests() {
        let dir = artifact(b"weights");
        let State::Whole(m) = state_of(dir.path()) else {
            panic!()
        };
        assert_eq!(verify_digests(dir.path(), &m), Vec::<Wrong>::new());
        std::fs::write(dir.path().join("w.bin"), b"weighus").unwrap();
        assert_eq!(verify_digests(dir.path(), &m).len(), 1);
    }

    #[test]
    fn an_output_outside_the_artifact_is_damage() {
        assert!(is_confined("a/b.h5"));
        for bad in ["../a", "/etc/passwd", "a/../../b", ""] {
            assert!(!is_confined(bad), "{bad}");
        }
    }

    #[test]
    fn nothing_is_absent_and_garbage_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(state_of(&dir.path().join("none")), State::Absent);
        assert!(matches!(state_of(dir.path()), State::Damaged(_)));
        std::fs::write(dir.path().join(MANIFEST), [0xff, 0, 1]).unwrap();
        assert!(matches!(state_of(dir.path()), State::Damaged(_)));
    }
}
