//! `manifest.json`: the identity of an artifact, its inputs, and its results.
//!
//! It is written last and marks the artifact as committed.

use super::Stage;
use super::clock::Timestamp;
use super::file_record::FileRecord;
use super::key::{Key, called};
use super::layout::{FORMAT, MANIFEST};
use super::sealed;
use latent_align_stages::{Error, Result};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a manifest was called before format 4.
const FORMER: &str = "manifest.yaml";

/// The largest size of a manifest in bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// The record of one artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of this file and of the artifact.
    pub format: u32,
    /// The stage that made it.
    pub stage: Stage,
    /// Its identity.
    pub fingerprint: String,
    /// When the stage started.
    pub started: Timestamp,
    /// When it was committed.
    pub finished: Timestamp,
    /// How long the stage took.
    pub seconds: f64,
    /// The final figures, in display order.
    pub figures: Figures,
    /// Warnings for the reader.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Whether every size was divided, so that the figures are not results.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quick: bool,
    /// The seed of its random streams.
    pub seed: u64,
    /// The device of the computation.
    pub device: String,
    /// The program that made it.
    pub program: Program,
    /// The stage's configuration after defaults, as used for the identity: input paths blanked.
    pub config: Value,
    /// The files it read.
    #[serde(default)]
    pub inputs: Vec<InputRecord>,
    /// The artifacts it read.
    #[serde(default)]
    pub upstream: Vec<UpstreamRecord>,
    /// The files it wrote, by path within the artifact.
    pub outputs: BTreeMap<String, FileRecord>,
}

/// The program that made an artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// The crate's version.
    pub version: String,
    /// The git revision its sources were built at, with `+changes` if they differed from it.
    #[serde(default)]
    pub revision: Option<String>,
}

impl Program {
    /// This program.
    pub fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            revision: option_env!("LATENT_ALIGN_REVISION").map(str::to_owned),
        }
    }
}

/// A file a stage read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputRecord {
    /// The key of the stage's configuration that names it.
    pub key: String,
    /// Its path.
    pub path: PathBuf,
    /// BLAKE3 of its content.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
}

/// An artifact a stage read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpstreamRecord {
    /// Its role; not recorded before format 2.
    #[serde(default)]
    pub role: Option<String>,
    /// Its stage.
    pub stage: Stage,
    /// Its fingerprint.
    pub fingerprint: String,
    /// [`Manifest::contents`] of the artifact that was read.
    pub contents: String,
    /// Its path, if outside this store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

impl UpstreamRecord {
    /// Its name in messages.
    pub fn name(&self) -> String {
        match &self.role {
            Some(role) => called(self.stage, role),
            None => self.stage.to_string(),
        }
    }
}

impl Manifest {
    /// The manifest of the artifact in `dir`.
    ///
    /// # Errors
    /// [`Error::Input`] if it is missing, damaged, or of another format.
    pub fn read(dir: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Header {
            format: u32,
        }
        let wrong = |why: String| Error::input(why);
        if Self::is_former(dir) {
            return Err(wrong(format!(
                "made by an older version, whose {FORMER} this one does not read; run its experiment again, which \
                 computes it anew"
            )));
        }
        let file = dir.join(MANIFEST);
        let size = std::fs::metadata(&file).map(|m| m.len());
        let size = size.map_err(|e| wrong(format!("no readable {MANIFEST} ({e})")))?;
        if size > LARGEST {
            return Err(wrong(format!(
                "{MANIFEST} has {size} bytes, which is more than any manifest has"
            )));
        }
        let text = std::fs::read_to_string(&file).map_err(|e| wrong(format!("{MANIFEST}: {e}")))?;
        let opened = sealed::open(&text);
        // A manifest of a newer version need not be sealed or parse as ours; one whose seal does not match is damaged.
        match serde_json::from_str(&text) {
            Ok(Header { format })
                if format > FORMAT && (opened.is_ok() || !sealed::is_sealed(&text)) =>
            {
                return Err(wrong(format!(
                    "written by a newer version (format {format}, this version reads up to {FORMAT}); update latent-align"
                )));
            }
            _ => {}
        }
        let json = opened.map_err(|why| wrong(format!("{MANIFEST} {why}")))?;
        serde_json::from_str(&json).map_err(|e| wrong(format!("{MANIFEST} does not parse: {e}")))
    }

    /// Whether `dir` is an artifact of an older version, whose manifest is no longer read.
    pub fn is_former(dir: &Path) -> bool {
        dir.join(FORMER).exists() && !dir.join(MANIFEST).exists()
    }

    /// The contents of the file: JSON with its digest.
    pub fn text(&self) -> Result<String> {
        sealed::seal(self).map_err(|e| Error::file(MANIFEST, e))
    }

    /// A digest over the names and contents of all outputs.
    pub fn contents(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (name, record) in &self.outputs {
            hasher.update(name.as_bytes());
            hasher.update(&[0]);
            hasher.update(record.digest.as_bytes());
            hasher.update(&[0]);
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }

    /// Bytes of all outputs.
    pub fn size(&self) -> u64 {
        self.outputs.values().map(|o| o.size).sum()
    }

    /// Whether this is an artifact of `key`.
    pub fn is_of(&self, key: &Key) -> bool {
        self.stage == key.stage && self.fingerprint == key.fingerprint()
    }
}

/// Figures by name, in order. Written as a map; JSON has no NaN and no infinity, so that they are words there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures(pub Vec<(String, f64)>);

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| {
            let word = || Value::from(value.to_string());
            (
                name,
                Number::from_f64(*value).map_or_else(word, Value::from),
            )
        }))
    }
}

impl<'de> Deserialize<'de> for Figures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let figures = Map::deserialize(deserializer)?.into_iter();
        let figures = figures.map(|(name, value)| {
            let number = match &value {
                Value::String(word) => word.parse().ok(),
                other => other.as_f64(),
            };
            let wrong = || D::Error::custom(format!("{name}: found {value}, expected a number"));
            let number = number.ok_or_else(wrong)?;
            Ok((name, number))
        });
        Ok(Self(figures.collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;

    /// A small manifest for tests.
    pub fn manifest() -> Manifest {
        Manifest {
            format: FORMAT,
            stage: Stage::PretrainFlow,
            fingerprint: "00112233445566aa".into(),
            started: Timestamp::now(),
            finished: Timestamp::now(),
            seconds: 1.25,
            figures: Figures(vec![
                ("z".into(), 1.5),
                ("i".into(), f64::NEG_INFINITY),
                ("a".into(), f64::NAN),
            ]),
            quick: false,
            warnings: vec!["a \"quoted\": warning\nof two lines".into()],
            seed: u64::MAX,
            device: "cpu".into(),
            program: Program::this(),
            config: json!({"steps": 3, "betas": [0.9, 0.999], "kind": null}),
            inputs: vec![],
            upstream: vec![],
            outputs: BTreeMap::new(),
        }
    }

    #[test]
    fn a_manifest_reads_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut written = manifest();
        std::fs::write(dir.path().join(MANIFEST), written.text().unwrap()).unwrap();
        let mut read = Manifest::read(dir.path()).unwrap();
        assert!(read.figures.0[2].1.is_nan());
        read.figures.0.pop();
        written.figures.0.pop();
        assert_eq!(read, written);
    }

    #[test]
    fn a_newer_format_is_refused_with_advice() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(MANIFEST), "{\"format\": 99, \"new\": {}}").unwrap();
        let message = Manifest::read(dir.path()).unwrap_err().to_string();
        assert!(message.contains("newer version"), "{message}");
    }

    /// Detects: one flipped bit in the number of the format passes for a newer version.
    #[test]
    fn a_flipped_bit_in_the_format_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let format = |number: u32| format!("\"format\": {number}");
        let text = manifest().text().unwrap();
        let flipped = text.replacen(&format(FORMAT), &format(FORMAT + 1), 1);
        assert_ne!(flipped, text);
        std::fs::write(dir.path().join(MANIFEST), flipped).unwrap();
        let message = Manifest::read(dir.path()).unwrap_err().to_string();
        assert!(
            message.contains("was changed or damaged after it was written"),
            "{message}"
        );
    }
}
