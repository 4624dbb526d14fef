//! The inputs of an artifact, and their fingerprint.

use super::Stage;
use super::file_record::FileRecord;
use super::layout::FORMAT;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Everything that determines the result of a stage. Equal keys mean the same artifact.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The stage.
    pub stage: Stage,
    /// Its configuration after defaults, with the paths of inputs blanked.
    pub config: Value,
    /// The experiment's seed.
    pub seed: u64,
    /// Dotted key, path and content of each input file; the path is not part of the identity.
    pub inputs: Vec<(String, PathBuf, FileRecord)>,
    /// The artifacts it reads, each with its own role.
    pub upstream: Vec<Upstream>,
    /// Whether it is part of a quick run, whose artifacts a full run never uses.
    pub quick: bool,
}

/// An artifact that a stage reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Its role.
    pub role: &'static str,
    /// Its stage.
    pub stage: Stage,
    /// Its fingerprint.
    pub fingerprint: String,
    /// Its present or future folder.
    pub dir: PathBuf,
}

impl Upstream {
    /// Its name in messages.
    pub fn name(&self) -> String {
        called(self.stage, self.role)
    }
}

/// The name in messages of an artifact of `stage` read as `role`: the stage alone if its name implies the
/// role.
pub fn called(stage: Stage, role: &str) -> String {
    match stage.name().ends_with(role) {
        true => stage.to_string(),
        false => format!("{stage} ({role})"),
    }
}

impl Key {
    /// The first 16 hexadecimal digits of BLAKE3 over the canonical JSON of the key.
    pub fn fingerprint(&self) -> String {
        let inputs: Map<String, Value> = self
            .inputs
            .iter()
            .map(|(key, _, record)| (key.clone(), json!(record.digest)))
            .collect();
        let upstream: Map<String, Value> = self
            .upstream
            .iter()
            .map(|u| (u.role.to_owned(), json!(u.fingerprint)))
            .collect();
        let mut identity = json!({
            "format": FORMAT,
            "stage": self.stage,
            "config": self.config,
            "seed": self.seed,
            "inputs": inputs,
            "upstream": upstream,
        });
        if self.quick {
            identity["quick"] = true.into();
        }
        let hash = blake3::hash(canonical(&identity).as_bytes());
        hash.to_hex()[..16].to_owned()
    }
}

/// JSON without whitespace, keys sorted.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entries: Vec<String> = entries
                .into_iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        leaf => leaf.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key {
            stage: Stage::TrainAutoencoder,
            config: json!({"steps": 3, "data": {"file": "", "maximum": null}}),
            seed: 0,
            inputs: vec![(
                "data.file".into(),
                "/a.h5".into(),
                FileRecord {
                    digest: "aa".into(),
                    size: 1,
                },
            )],
            upstream: vec![Upstream {
                role: "flow",
                stage: Stage::PretrainFlow,
                fingerprint: "0123".into(),
                dir: "/x".into(),
            }],
            quick: false,
        }
    }

    #[test]
    fn the_order_of_keys_and_the_place_of_files_do_not_matter() {
        let mut other = key();
        other.config = json!({"data": {"maximum": null, "file": ""}, "steps": 3});
        other.inputs[0].1 = "/elsewhere/b.h5".into();
        other.upstream[0].dir = "/y".into();
        assert_eq!(key().fingerprint(), other.fingerprint());
        assert_eq!(key().fingerprint().len(), 16);
    }

    #[test]
    fn everything_else_does() {
        let changes: [fn(&mut Key); 6] = [
            |k| k.stage = Stage::EstimateNll,
            |k| k.config["steps"] = json!(4),
            |k| k.seed = 1,
            |k| k.inputs[0].2.digest = "bb".into(),
            |k| k.upstream[0].fingerprint = "4567".into(),
            |k| k.upstream[0].role = "features",
        ];
        for change in changes {
            let mut other = key();
            change(&mut other);
            assert_ne!(key().fingerprint(), other.fingerprint());
        }
    }

    #[test]
    fn a_role_is_said_where_the_stage_leaves_it_open() {
        for (stage, role, expected) in [
            (Stage::PretrainFlow, "flow", "pretrain-flow"),
            (Stage::TrainAutoencoder, "autoencoder", "train-autoencoder"),
            (Stage::TrainClassifier, "classifier", "train-classifier"),
            (
                Stage::TrainAutoencoder,
                "unaligned",
                "train-autoencoder (unaligned)",
            ),
            (
                Stage::TrainClassifier,
                "features",
                "train-classifier (features)",
            ),
        ] {
            assert_eq!(called(stage, role), expected);
        }
    }

    #[test]
    fn canonical_json_is_sorted_and_escaped() {
        let value = json!({"b": [1, 2.5], "a\"": {"d": null, "c": true}});
        assert_eq!(
            canonical(&value),
            r#"{"a\"":{"c":true,"d":null},"b":[1,2.5]}"#
        );
    }
}
