//! `latent-align verify [PATH | FINGERPRINT]`

use crate::catalogue::Catalogue;
use crate::console::Console;
use crate::inspect::{Target, target};
use crate::report::{bytes, columns};
use crate::store::{FileRecord, Manifest, RunFolder, Store, checkpoints, verify_digests};
use anyhow::Result;
use clap::Args;
use latent_align_stages::Error;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// An artifact's folder, a run's, a store's, or four or more characters of a fingerprint; the whole
    /// store, with its checkpoints and records of runs, by default
    #[arg(value_name = "PATH|FINGERPRINT")]
    target: Option<PathBuf>,
}

/// What was read, and what is wrong.
#[derive(Default)]
struct Findings {
    rows: Vec<Vec<String>>,
    damaged: Vec<String>,
    /// Inputs that are not what they were: stale results, but no damage.
    changed: Vec<String>,
    /// Inputs that were read already.
    inputs: BTreeMap<PathBuf, Option<FileRecord>>,
}

/// Reads everything that has a digest and compares.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let mut findings = Findings::default();
    match target(store, arguments.target.as_deref())? {
        Target::One(dir) => findings.artifact(&dir),
        Target::Many(artifacts) => {
            for (_, dir) in &artifacts {
                findings.artifact(dir);
            }
        }
    }
    if arguments.target.is_none() {
        for (dir, wrong) in checkpoints(store) {
            findings.note("checkpoint", &dir, "", wrong);
        }
        findings.runs(store);
    }
    if findings.rows.is_empty() {
        console.print(&format!(
            "Nothing to verify in {}\n",
            store.root().display()
        ));
        return Ok(());
    }
    console.print(&columns(&findings.rows));
    for changed in &findings.changed {
        console.print(&format!("note: {changed}\n"));
    }
    if findings.damaged.is_empty() {
        let count = findings.rows.len();
        console.print(&format!(
            "\nverified: all {count} are as they were written\n"
        ));
        return Ok(());
    }
    Err(Error::file(
        store.root(),
        format!(
            "damaged; the next run that needs one of these computes it again\n  {}",
            findings.damaged.join("\n  ")
        ),
    )
    .into())
}

impl Findings {
    fn note(&mut self, kind: &str, path: &Path, what: &str, wrong: Option<String>) {
        let verdict = if wrong.is_some() { "DAMAGED" } else { "whole" };
        let row = [kind, &path.display().to_string(), what, verdict];
        self.rows.push(row.map(str::to_owned).to_vec());
        if let Some(why) = wrong {
            self.damaged.push(format!("{}: {why}", path.display()));
        }
    }

    fn artifact(&mut self, dir: &Path) {
        let manifest = match Manifest::read(dir) {
            Ok(manifest) => manifest,
            Err(why) => return self.note("artifact", dir, "", Some(why.to_string())),
        };
        let wrong = verify_digests(dir, &manifest);
        let wrong = (!wrong.is_empty()).then(|| wrong.join("; "));
        let what = format!(
            "{} files, {}",
            manifest.outputs.len(),
            bytes(manifest.size())
        );
        self.note("artifact", dir, &what, wrong);
        for input in &manifest.inputs {
            let found = self.inputs.entry(input.path.clone());
            let found = found.or_insert_with_key(|path| FileRecord::of(path).ok());
            let now = match found {
                Some(found) if found.digest == input.digest => continue,
                Some(found) => format!("has digest {}", found.digest),
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
                Ok(Some(_)) => self.note("run", folder.path(), "its record", None),
                Err(why) => self.note("run", folder.path(), "", Some(why.to_string())),
            }
        }
    }
}
