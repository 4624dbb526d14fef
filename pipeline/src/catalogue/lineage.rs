//! The upstream artifacts of an artifact, as a tree.

use crate::store::{Manifest, State, Store, state_of};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The depth limit; a manifest that was tampered with may form a cycle.
const DEEPEST: usize = 16;

/// The tree under the artifact in `dir`.
pub fn tree(dir: &Path, manifest: &Manifest) -> String {
    // Upstream artifacts are in the same store as the artifact, which need not be the current
    // store.
    let place = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let home = Store::at(place.ancestors().nth(2).unwrap_or(&place));
    let mut out = format!("  {} {}\n", manifest.stage, manifest.fingerprint);
    branches(&home, manifest, "  ", 0, &mut out);
    out
}

enum Leaf {
    Artifact(String, Option<Box<Manifest>>),
    File(String),
}

fn branches(store: &Store, manifest: &Manifest, indent: &str, depth: usize, out: &mut String) {
    if depth >= DEEPEST {
        let _ = writeln!(out, "{indent}└─ ... (deeper than any pipeline)");
        return;
    }
    let mut leaves = Vec::new();
    for input in &manifest.inputs {
        let digest = input.digest.get(..16).unwrap_or(&input.digest);
        leaves.push(Leaf::File(format!("{} {digest}", input.path.display())));
    }
    for upstream in &manifest.upstream {
        let place: PathBuf = match &upstream.path {
            Some(path) => path.clone(),
            None => store.artifact(upstream.stage, &upstream.fingerprint),
        };
        let (note, found) = match state_of(&place) {
            State::Absent => (" (deleted)", None),
            State::Damaged(_) => (" (DAMAGED)", None),
            State::Unreadable(_) => (" (cannot be read)", None),
            State::Whole(now) if now.contents() != upstream.contents => {
                (" (recomputed since, with another result)", Some(now))
            }
            State::Whole(now) => ("", Some(now)),
        };
        let title = format!("{} {}{note}", upstream.name(), upstream.fingerprint);
        leaves.push(Leaf::Artifact(title, found));
    }
    let last = leaves.len().saturating_sub(1);
    for (number, leaf) in leaves.into_iter().enumerate() {
        let (arm, below) = if number == last {
            ("└─", "   ")
        } else {
            ("├─", "│  ")
        };
        match leaf {
            Leaf::File(title) => {
                let _ = writeln!(out, "{indent}{arm} {title}");
            }
            Leaf::Artifact(title, found) => {
                let _ = writeln!(out, "{indent}{arm} {title}");
                if let Some(found) = found {
                    branches(store, &found, &format!("{indent}{below}"), depth + 1, out);
                }
            }
        }
    }
}
