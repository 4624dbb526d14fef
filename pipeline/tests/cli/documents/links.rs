//! Links between documents, and links that the README must have.

use super::{Document, all, root};
use std::path::{Component, Path, PathBuf};

/// The most lines that the README may have.
const README_LINES: usize = 150;

/// Addresses of the links in a document.
fn links(document: &Document) -> Vec<String> {
    let prose = document.prose().join("\n");
    let after = prose.split("](").skip(1);
    after
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

/// The anchor that readers of Markdown give a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> Vec<String> {
    let document = Document {
        path: PathBuf::new(),
        text: text.to_owned(),
    };
    let headings = document.prose().into_iter().filter(|l| l.starts_with('#'));
    headings.map(anchor).collect()
}

/// `docs/../README.md` -> `README.md`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                assert!(plain.pop(), "{} leaves the repository", path.display())
            }
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn every_link_of_a_document_leads_to_a_file_and_a_heading() {
    let mut count = 0;
    for document in all() {
        for link in links(&document) {
            let from = document.name();
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let path = match file {
                "" => document.path.clone(),
                file => plain(&document.path.parent().unwrap().join(file)),
            };
            assert!(root().join(&path).exists(), "{from}: {link}: no such file");
            if !anchor.is_empty() {
                let known = anchors(&super::read(&path));
                assert!(
                    known.contains(&anchor.to_owned()),
                    "{from}: {link}: no such heading, there are {known:?}"
                );
            }
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn the_readme_is_short_and_leads_to_every_document() {
    let documents = all();
    let readme = &documents[0];
    let lines = readme.text.lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines");
    let links = links(readme);
    for document in &documents[1..] {
        let name = document.name();
        assert!(links.contains(&name), "README.md does not lead to {name}");
    }
}
