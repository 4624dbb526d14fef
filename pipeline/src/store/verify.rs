//! Whether an artifact on disk is what its manifest says.

use super::digests::{FileRecord, mismatch};
use super::manifest::Manifest;
use std::path::{Component, Path};

/// What was found where an artifact should be.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Nothing.
    Absent,
    /// A whole artifact.
    Whole(Box<Manifest>),
    /// Something that cannot be used, and why.
    Damaged(String),
}

/// Reads the manifest in `dir` and looks that every output is there with its size. Cheap: no output
/// is read.
pub fn state_of(dir: &Path) -> State {
    if !dir.is_dir() {
        return State::Absent;
    }
    match Manifest::read(dir) {
        Err(e) => State::Damaged(e.to_string()),
        Ok(manifest) => match missing(dir, sizes(&manifest)) {
            Some(why) => State::Damaged(why),
            None => State::Whole(Box::new(manifest)),
        },
    }
}

fn sizes(manifest: &Manifest) -> impl Iterator<Item = (&str, u64)> {
    let outputs = manifest.outputs.iter();
    outputs.map(|(name, record)| (name.as_str(), record.size))
}

/// Which of `outputs`, names and sizes, is not in `dir` as it should be, if any is not. No output is
/// read.
pub fn missing<'a>(dir: &Path, outputs: impl Iterator<Item = (&'a str, u64)>) -> Option<String> {
    for (name, size) in outputs {
        if !is_confined(name) {
            return Some(format!(
                "the output `{name}` would lie outside the artifact"
            ));
        }
        match std::fs::symlink_metadata(dir.join(name)) {
            Err(_) => return Some(format!("the output {name} is missing")),
            Ok(meta) if !meta.is_file() => {
                return Some(format!("the output {name} is not a regular file"));
            }
            Ok(meta) if meta.len() != size => {
                return Some(format!(
                    "the output {name} has {} bytes, its manifest says {}",
                    meta.len(),
                    size
                ));
            }
            Ok(_) => {}
        }
    }
    None
}

/// True for a relative path of plain names.
pub fn is_confined(name: &str) -> bool {
    !name.is_empty()
        && Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
}

/// Reads every output and compares its digest. Returns one line for each that differs.
pub fn verify_digests(dir: &Path, manifest: &Manifest) -> Vec<String> {
    let outputs = manifest.outputs.iter();
    outputs
        .filter_map(|(name, record)| verify_output(dir, name, record))
        .collect()
}

/// Reads the output `name` and compares its digest. Returns a line if it differs from `record`.
pub fn verify_output(dir: &Path, name: &str, record: &FileRecord) -> Option<String> {
    if !is_confined(name) {
        return Some(format!("{name}: would lie outside the artifact"));
    }
    match FileRecord::of(&dir.join(name)) {
        Ok(found) if found == *record => None,
        Ok(found) => Some(mismatch(name, &found, record)),
        Err(e) => Some(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::{MANIFEST, tests::manifest};
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
        assert_eq!(verify_digests(dir.path(), &m), Vec::<String>::new());
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
