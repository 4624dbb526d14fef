//! The file of a dataset, or several files whose datasets are one.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// One file, or several whose datasets follow each other, in this order. There is at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Files(Vec<PathBuf>);

impl Files {
    /// `files` in order; none if there are none.
    pub fn of(files: Vec<PathBuf>) -> Option<Self> {
        (!files.is_empty()).then_some(Self(files))
    }

    /// The first file, which is the only one of most datasets.
    pub fn first(&self) -> &Path {
        &self.0[0]
    }

    /// All files in order.
    pub fn all(&self) -> &[PathBuf] {
        &self.0
    }

    /// Whether there are several.
    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// Each file with its key: `key` itself for one, `key[0]` and so on for several.
    pub fn inputs<'a>(
        &'a mut self,
        key: &'a str,
    ) -> impl Iterator<Item = (String, &'a mut PathBuf)> {
        let several = self.are_several();
        let files = self.0.iter_mut().enumerate();
        files.map(move |(at, file)| match several {
            true => (format!("{key}[{at}]"), file),
            false => (key.to_owned(), file),
        })
    }
}

impl<P: Into<PathBuf>> From<P> for Files {
    fn from(file: P) -> Self {
        Self(vec![file.into()])
    }
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [first, .., last] => write!(
                f,
                "{} files from {} to {}",
                self.0.len(),
                first.display(),
                last.display()
            ),
            _ => write!(f, "{}", self.first().display()),
        }
    }
}

/// Reads the form in a configuration. A number is refused, since its text may have been another one, such as 007.
struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = Files;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a file, a list of files, or a pattern such as \"features-*.h5\" (a name that looks like a number needs \
             quotation marks)",
        )
    }

    fn visit_str<E: Error>(self, file: &str) -> Result<Files, E> {
        Ok(file.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Files, A::Error> {
        let mut files = Vec::new();
        while let Some(file) = list.next_element()? {
            files.push(file);
        }
        let none = || Error::custom("found an empty list, expected at least one file");
        Files::of(files).ok_or_else(none)
    }
}

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

impl Serialize for Files {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl JsonSchema for Files {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Files".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1}
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_is_written_as_such_and_several_as_a_list() {
        for (json, count) in [("\"a.h5\"", 1), ("[\"a.h5\",\"b.h5\"]", 2)] {
            let files: Files = serde_json::from_str(json).unwrap();
            assert_eq!(files.all().len(), count);
            assert_eq!(serde_json::to_string(&files).unwrap(), json);
        }
        let one: Files = serde_json::from_str("[\"a.h5\"]").unwrap();
        assert_eq!(one, Files::from("a.h5"));
        for json in ["[]", "3", "{}"] {
            assert!(serde_json::from_str::<Files>(json).is_err(), "{json}");
        }
    }

    /// Fails if the key of a single file changes, which would compute every artifact again.
    #[test]
    fn several_files_have_keys_of_their_own() {
        let keys = |files: &[&str]| -> Vec<String> {
            let mut files = Files::of(files.iter().map(PathBuf::from).collect()).unwrap();
            files.inputs("data.file").map(|(key, _)| key).collect()
        };
        assert_eq!(keys(&["a"]), ["data.file"]);
        assert_eq!(keys(&["a", "a"]), ["data.file[0]", "data.file[1]"]);
    }
}
