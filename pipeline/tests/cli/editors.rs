//! Support for editors: JSON Schemas, and the lines in the shipped files that refer to them.

use crate::project::Project;
use crate::python::{execute, python};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const KINDS: [&str; 2] = ["experiment", "sweep"];

fn configs() -> PathBuf {
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../configs")
}

fn schema(kind: &str) -> String {
    let printed = Project::new().run(&["config", "--schema", kind]);
    printed.expect(0, &[]);
    printed.stdout
}

/// What is wrong with each of `documents` (name, YAML) under the schema `kind`, by Python's jsonschema; `None`
/// without it.
fn mistakes(kind: &str, documents: &[(String, String)]) -> Option<Vec<(String, Vec<String>)>> {
    let python = python("jsonschema")?;
    let project = Project::new();
    let yaml = |text: &str| serde_yaml::from_str::<Value>(text).unwrap();
    let documents: Vec<_> = documents
        .iter()
        .map(|(name, text)| (name, yaml(text)))
        .collect();
    project.write("documents.json", json!(documents).to_string());
    project.write("schema.json", schema(kind));
    let script = format!(
        "
import json
from jsonschema import Draft202012Validator
root = {root:?}
schema = json.load(open(root + '/schema.json'))
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
documents = json.load(open(root + '/documents.json'))
print(json.dumps([(name, [e.message for e in validator.iter_errors(d)]) for name, d in documents]))
",
        root = project.path(""),
    );
    Some(serde_json::from_str(&execute(&python, &project, &script)).unwrap())
}

/// Every YAML file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|e| e == "yaml") {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_shipped_schemas_are_those_of_this_version() {
    for kind in KINDS {
        let shipped = configs().join("schema").join(format!("{kind}.json"));
        let shipped = std::fs::read_to_string(&shipped).unwrap_or_default();
        assert!(
            shipped == schema(kind),
            "configs/schema/{kind}.json differs from `latent-align config --schema {kind}`; \
             `make schema` writes it again"
        );
    }
}

#[test]
fn every_shipped_file_leads_to_its_schema_and_is_valid_under_it() {
    let files = files(&configs());
    assert!(files.len() > 30, "{}", files.len());
    let mut documents = KINDS.map(|kind| (kind, Vec::new()));
    for file in files {
        let shown = file.display();
        let text = std::fs::read_to_string(&file).unwrap();
        let line = text.lines().next().unwrap_or_default();
        let path = line.strip_prefix("# yaml-language-server: $schema=");
        let path =
            path.unwrap_or_else(|| panic!("{shown}: no yaml-language-server line, found {line}"));
        let led = file.parent().unwrap().join(path).canonicalize();
        let led = led.unwrap_or_else(|e| panic!("{shown}: {path}: {e}"));
        let number = usize::from(file.parent().unwrap().ends_with("sweeps"));
        let (kind, of_kind) = &mut documents[number];
        assert_eq!(led.file_stem().unwrap(), *kind, "{shown}");
        of_kind.push((shown.to_string(), text));
    }
    for (kind, documents) in documents {
        for (name, wrong) in mistakes(kind, &documents).unwrap_or_default() {
            assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        }
    }
}

/// `right`, and `right` with each of `changes` (from, to) made alone: only the first is valid.
fn finds(kind: &str, right: &str, changes: &[(&str, &str)]) {
    let mut documents = vec![("right".to_owned(), right.to_owned())];
    for (from, to) in changes {
        let wrong = right.replacen(from, to, 1);
        assert_ne!(wrong, right);
        documents.push((wrong.clone(), wrong));
    }
    for (name, wrong) in mistakes(kind, &documents).unwrap_or_default() {
        assert_eq!(wrong.is_empty(), name == "right", "{name}: {wrong:#?}");
    }
}

#[test]
fn mistakes_are_found_by_the_schemas() {
    finds(
        "experiment",
        "name: a\npretrain_flow:\n  features: {file: a.h5}\n  normalisation: {whiten: full, projection: {kind: pca, width: 3}}\n",
        &[
            ("name: a\n", ""),
            ("features", "feature"),
            ("whiten: full", "whiten: fully"),
            ("whiten", "whitening"),
            ("kind: pca", "kind: pac"),
            ("width: 3", "width: three"),
            ("width: 3", "width: -3"),
            (", width: 3", ""),
            ("width: 3", "width: 3, seed: 1"),
        ],
    );
    // a base may have what a stage requires
    finds(
        "experiment",
        "name: a\nbase: b.yaml\npretrain_flow: {steps: 3}\ntrain_autoencoder: {steps: 3}\n",
        &[("base: b.yaml\n", ""), ("steps", "step"), ("name: a\n", "")],
    );
    finds(
        "sweep",
        "name: a\nbase: b.yaml\nlist: [{name: c, set: {pretrain_flow.steps: 3}}]\ngrid: {seed: [1, 2]}\nseeds: [0]\nobjective: {figure: \"a: b\", direction: minimise}\n",
        &[
            ("base: b.yaml\n", ""),
            ("list", "lists"),
            ("set", "sets"),
            ("[0]", "[a]"),
            ("pretrain_flow.steps", "pretrain_flow steps"),
            ("{pretrain_flow.steps: 3}", "3"),
            ("[1, 2]", "1"),
            ("minimise", "minimum"),
        ],
    );
}

#[test]
fn every_key_is_described_and_no_map_takes_unknown_ones() {
    for kind in KINDS {
        let schema: Value = serde_json::from_str(&schema(kind)).unwrap();
        let mut keys = 0;
        check(&schema, "", &mut keys);
        assert!(keys > 10, "{kind}: {keys}");
    }
}

fn check(schema: &Value, place: &str, keys: &mut usize) {
    match schema {
        Value::Object(map) => {
            if let Some(properties) = map.get("properties").and_then(Value::as_object) {
                assert_eq!(
                    map.get("additionalProperties"),
                    Some(&Value::Bool(false)),
                    "{place}"
                );
                for (key, property) in properties {
                    *keys += 1;
                    // The description of a kind, or of the only key of a choice, is above it.
                    let is_kind = property["const"].is_string() || properties.len() == 1;
                    let above = is_kind && map.contains_key("description");
                    let described = property["description"].is_string() || above;
                    assert!(described, "{place}/{key}");
                }
            }
            // what is required without a base, of properties that are described above
            let described = map.iter().filter(|(key, _)| *key != "then");
            described.for_each(|(key, value)| check(value, &format!("{place}/{key}"), keys));
        }
        Value::Array(items) => items.iter().for_each(|item| check(item, place, keys)),
        _ => {}
    }
}
