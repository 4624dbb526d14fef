//! `latent-align verify [THING]`

use crate::catalogue::{Catalogue, Prefer, Thing};
use crate::console::Console;
use crate::store::{
    FileRecord, MANIFEST, Manifest, RunFolder, Store, Wrong, checkpoints, unreadable,
    verify_digests,
};
use crate::tables::{bytes, columns};
use anyhow::Result;
use clap::Args;
use latent_align_stages::Error;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A run, an artifact's fingerprint, or the folder of one; all artifacts, checkpoints and records of runs by
    /// default
    #[arg(value_name = "THING")]
    thing: Option<PathBuf>,
}

/// What was read, and what is wrong with it.
#[derive(Default)]
struct Findings {
    rows: Vec<Vec<String>>,
    damaged: Vec<String>,
    /// Files that this user may not read, so that their integrity is unknown.
    unreadable: Vec<String>,
    /// Inputs that have changed: results are stale, but not damaged.
    changed: Vec<String>,
    /// Inputs that were already read.
    inputs: BTreeMap<PathBuf, Option<FileRecord>>,
}

/// Reads everything with a digest and compares.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    match &arguments.thing {
        Some(what) => check(&Thing::find(store, what, Prefer::Run)?, console),
        None => {
            store.must_be_listed()?;
            check(&Thing::Store(store.clone()), console)
        }
    }
}

/// Reads the artifacts of `thing`, and for a store everything else with a digest.
///
/// # Errors
/// [`Error::File`] names what is damaged or cannot be read.
pub fn check(thing: &Thing, console: &Console) -> Result<()> {
    let mut findings = Findings::default();
    for (_, dir) in thing.artifacts()? {
        findings.artifact(&dir);
    }
    if let Thing::Store(store) = thing {
        for (dir, wrong) in checkpoints(store) {
            findings.note("checkpoint", &dir, "", wrong.as_slice());
        }
        findings.runs(store);
    }
    if findings.rows.is_empty() {
        console.print("Nothing to verify\n");
        return Ok(());
    }
    console.print(&columns(&findings.rows));
    for changed in &findings.changed {
        console.print(&format!("note: {changed}\n"));
    }
    if findings.damaged.is_empty() && findings.unreadable.is_empty() {
        let count = findings.rows.len();
        console.print(&format!(
            "\nverified: all {count} are as they were written\n"
        ));
        return Ok(());
    }
    let mut told = Vec::new();
    for (what, found) in [
        (
            "damaged; the next run that needs one of these computes it again",
            &findings.damaged,
        ),
        (
            "cannot be read; ask its owner for permission (chmod a+rX)",
            &findings.unreadable,
        ),
    ] {
        if !found.is_empty() {
            told.push(format!("{what}\n  {}", found.join("\n  ")));
        }
    }
    Err(Error::file(thing.path(), told.join("\n")).into())
}

impl Findings {
    fn note(&mut self, kind: &str, path: &Path, what: &str, wrong: &[Wrong]) {
        let (mut damaged, mut unreadable) = (Vec::new(), Vec::new());
        for wrong in wrong {
            match wrong {
                Wrong::Damaged(why) => damaged.push(why.as_str()),
                Wrong::Unreadable(why) => unreadable.push(why.as_str()),
            }
        }
        let verdict = match (damaged.is_empty(), unreadable.is_empty()) {
            (true, true) => "whole",
            (true, false) => "unreadable",
            _ => "DAMAGED",
        };
        let row = [kind, &path.display().to_string(), what, verdict];
        self.rows.push(row.map(str::to_owned).to_vec());
        for (why, all) in [
            (damaged, &mut self.damaged),
            (unreadable, &mut self.unreadable),
        ] {
            if !why.is_empty() {
                all.push(format!("{}: {}", path.display(), why.join("; ")));
            }
        }
    }

    fn artifact(&mut self, dir: &Path) {
        let unread = unreadable(&dir.join(MANIFEST)).map(Wrong::Unreadable);
        let manifest = match (unread, Manifest::read(dir)) {
            (Some(wrong), _) => return self.note("artifact", dir, "", &[wrong]),
            (None, Ok(manifest)) => manifest,
            (None, Err(why)) => {
                let wrong = Wrong::Damaged(why.to_string());
                return self.note("artifact", dir, "", &[wrong]);
            }
        };
        let wrong = verify_digests(dir, &manifest);
        let what = format!(
            "{} files, {}",
            manifest.outputs.len(),
            bytes(manifest.size())
        );
        self.note("artifact", dir, &what, &wrong);
        for input in &manifest.inputs {
            let found = self.inputs.entry(input.path.clone());
            let found = found.or_insert_with_key(|path| FileRecord::of(path).ok());
            let now = match found {
                Some(found) if found.digest == input.digest => continue,
                Some(found) => format!("has digest {}", found.digest),
                None if input.path.exists() => "cannot be read".to_owned(),
                None => "is gone".to_owned(),
            };
            self.changed.push(format!(
                "{}: {} {now}, and had {} when {} read it",
                input.key,
                input.path.display(),
                input.digest,
                dir.display()
            ));
        }
    }

    fn runs(&mut self, store: &Store) {
        for name in Catalogue::of(store).folders("runs") {
            let folder = RunFolder::of(store, &name);
            match folder.record() {
                Ok(None) => {}
                Ok(Some(_)) => self.note("run", folder.path(), "its record", &[]),
                Err(why) => {
                    let wrong = match why {
                        Error::File { .. } => Wrong::Unreadable(why.to_string()),
                        why => Wrong::Damaged(why.to_string()),
                    };
                    self.note("run", folder.path(), "", &[wrong]);
                }
            }
        }
    }
}
