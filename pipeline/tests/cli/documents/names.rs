//! Names in documents: keys of configurations, files, tests.

use super::{current, read, root, rows};
use crate::structure::CRATES;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Every name under `properties` anywhere in a schema.
fn properties(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                found.extend(properties.keys().cloned());
            }
            map.values().for_each(|v| properties(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| properties(v, found)),
        _ => {}
    }
}

/// Every key of a YAML document; dotted ones by their parts.
fn keys(yaml: &Value, found: &mut BTreeSet<String>) {
    match yaml {
        Value::Object(map) => {
            for (key, value) in map {
                found.extend(key.split('.').map(str::to_owned));
                keys(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|v| keys(v, found)),
        _ => {}
    }
}

fn known_keys() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for kind in ["experiment", "sweep"] {
        let schema = read(format!("configs/schema/{kind}.json"));
        properties(&serde_json::from_str(&schema).unwrap(), &mut known);
    }
    known
}

#[test]
fn every_key_of_a_configuration_in_the_documents_exists() {
    let known = known_keys();
    let mut count = 0;
    for document in current() {
        let blocks = document.blocks();
        for block in blocks.iter().filter(|b| b.language == "yaml") {
            let yaml = serde_yaml::from_str::<Value>(&block.code);
            let yaml = yaml.unwrap_or_else(|e| panic!("{}: {e}\n{}", document.name(), block.code));
            let mut used = BTreeSet::new();
            keys(&yaml, &mut used);
            for key in used {
                assert!(known.contains(&key), "{}: no key {key}", document.name());
                count += 1;
            }
        }
        let sections = ["pretrain_flow.", "train_autoencoder.", "estimate_nll."];
        for span in document.spans() {
            if sections.iter().any(|s| span.starts_with(s)) && !span.ends_with(".rs") {
                for key in span.split(['.', ' ', '=']) {
                    assert!(known.contains(key), "{}: no key {span}", document.name());
                }
                count += 1;
            }
        }
    }
    assert!(count > 20, "{count}");
}

/// The text of every file under `folder` with that extension.
fn texts(folder: &Path, extension: &str, found: &mut String) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            *found += &std::fs::read_to_string(path).unwrap();
        }
    }
}

#[test]
fn every_test_that_a_document_names_exists() {
    let mut text = String::new();
    for folder in ["stages", "pipeline"] {
        texts(&root().join(folder), "rs", &mut text);
    }
    let is_name = |span: &String| {
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        span.chars().all(is_word) && span.matches('_').count() >= 4
    };
    let mut count = 0;
    for document in current() {
        for name in document.spans().into_iter().filter(is_name) {
            let is_there = text.contains(&format!("fn {name}("));
            assert!(is_there, "{}: no test {name}", document.name());
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

/// Unless git ignores it by name, because a command of `make` writes it.
#[test]
fn every_file_of_the_repository_that_a_document_names_exists() {
    let mut count = 0;
    let ignored = std::fs::read_to_string(root().join(".gitignore")).unwrap();
    for document in current() {
        for span in document.spans() {
            let folders = ["configs/", "stages/", "pipeline/", "docs/", ".ci/"];
            let is_path = folders.iter().any(|f| span.starts_with(f));
            let is_pattern = span.contains(['<', '*', ' ', '{']) || span.contains("NAME");
            if is_path && !is_pattern {
                let is_made = ignored.lines().any(|line| line == format!("/{span}"));
                let exists = is_made || root().join(&span).exists();
                assert!(exists, "{}: no file {span}", document.name());
                count += 1;
            }
        }
    }
    assert!(count >= 5, "{count}");
}

#[test]
fn every_shipped_experiment_and_sweep_stands_in_a_document() {
    let documents = current();
    for folder in ["configs", "configs/sweeps"] {
        for entry in root().join(folder).read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "yaml") {
                continue;
            }
            let name = path.file_stem().unwrap().to_str().unwrap();
            let is_there = documents.iter().any(|d| {
                let mut spans = d.spans().into_iter();
                spans.any(|s| s.split([' ', '/', '=', '.']).any(|word| word == name))
            });
            assert!(is_there, "no document names {folder}/{name}.yaml");
        }
    }
}

#[test]
fn the_architecture_has_the_rooms_of_both_crates_from_the_ground_up() {
    let documents = current();
    let mut architecture = documents.iter();
    let architecture = architecture.find(|d| d.path == Path::new("ARCHITECTURE.md"));
    let architecture = architecture.expect("ARCHITECTURE.md");
    let lines = architecture.text.lines().count();
    assert!(lines <= 120, "ARCHITECTURE.md has {lines} lines");
    for sources in ["stages/src", "pipeline/src"] {
        let of = CRATES.iter().find(|c| c.sources == sources).unwrap();
        let table = rows(&architecture.section(&format!("The rooms of `{sources}`")));
        let rooms: Vec<_> = table.iter().map(|row| row[0].trim_matches('`')).collect();
        assert_eq!(rooms, of.floors, "ARCHITECTURE.md, {sources}");
    }
}

/// The comment of a line of YAML.
fn comment(line: &str) -> &str {
    match line.find("# ") {
        Some(at) if line[..at].ends_with(' ') || at == 0 => &line[at + 2..],
        _ => "",
    }
}

/// Numbers of `text` with at least two decimals, and shares in per cent.
fn figures(text: &str) -> Vec<String> {
    let words = text.split_whitespace().chain([""]);
    let words: Vec<&str> = words
        .map(|word| word.trim_matches(|c: char| ",.;:()".contains(c)))
        .collect();
    let pairs = words.windows(2);
    let figures = pairs.filter_map(|pair| {
        let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        let (whole, decimals) = pair[0].split_once('.').unwrap_or((pair[0], "0"));
        if !digits(whole) || !digits(decimals) {
            return None;
        }
        match pair[1] {
            "%" => Some(format!("{} %", pair[0])),
            _ => (decimals.len() >= 2).then(|| pair[0].to_owned()),
        }
    });
    figures.collect()
}

/// Fails if a comment of a configuration repeats a measured figure that has changed in the documents since, or was
/// never in one.
#[test]
fn every_figure_in_a_comment_of_a_configuration_stands_in_a_document() {
    assert_eq!(
        figures("(3.5245, 7 of 0.5; 12 % and v1.25: 0.06."),
        ["3.5245", "12 %", "0.06"]
    );
    let documents: Vec<String> = current().into_iter().map(|d| d.text).collect();
    let known: BTreeSet<String> = documents.iter().flat_map(|text| figures(text)).collect();
    let mut configurations = String::new();
    texts(&root().join("configs"), "yaml", &mut configurations);
    let mut found = 0;
    for figure in configurations
        .lines()
        .flat_map(|line| figures(comment(line)))
    {
        found += 1;
        assert!(
            known.contains(&figure),
            "a comment in configs/ has `{figure}`, which no document has: a comment names the document instead"
        );
    }
    assert!(found > 3, "{found}");
}
