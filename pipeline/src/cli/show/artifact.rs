//! One artifact in full.

use crate::catalogue::lineage;
use crate::store::{Manifest, State, Store, state_of, verify_digests};
use crate::tables::{bytes, columns, duration, number};
use latent_align_stages::{Error, Result};
use std::fmt::Write as _;
use std::path::Path;

/// Everything about the artifact in `dir`; with `verify`, every output is read and its digest
/// compared.
///
/// # Errors
/// [`Error::File`] when `verify` found damage; the page is still the first of the pair.
pub fn one(store: &Store, dir: &Path, verify: bool) -> (String, Result<()>) {
    let mut page = String::new();
    let manifest = match state_of(dir) {
        State::Whole(manifest) => manifest,
        State::Damaged(why) => match Manifest::read(dir) {
            Ok(manifest) => {
                let _ = writeln!(page, "DAMAGED: {why}\n");
                Box::new(manifest)
            }
            Err(_) => {
                let _ = writeln!(page, "{}\nDAMAGED: {why}", dir.display());
                return (page, verified(dir, verify, vec![why]));
            }
        },
        State::Unreadable(why) => {
            let _ = writeln!(page, "{}\ncannot be read: {why}", dir.display());
            return (
                page,
                Err(Error::file(dir, format!("cannot be read: {why}"))),
            );
        }
        State::Absent => {
            let _ = writeln!(page, "{}\nDAMAGED: not a folder", dir.display());
            return (page, verified(dir, verify, vec!["not a folder".into()]));
        }
    };
    page.push_str(&head(&manifest, dir));
    page.push_str(&figures(&manifest));
    page.push_str(&files(&manifest));
    let _ = write!(page, "\nlineage\n{}", lineage::tree(store, dir, &manifest));
    if let Ok(config) = serde_yaml::to_string(&manifest.config) {
        page.push_str("\nconfig\n");
        for line in config.lines() {
            let _ = writeln!(page, "  {line}");
        }
    }
    let result = if verify {
        let wrong = verify_digests(dir, &manifest);
        let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        if wrong.is_empty() {
            let count = manifest.outputs.len();
            let _ = writeln!(page, "\nverified: all {count} outputs have their digests");
        }
        verified(dir, verify, wrong)
    } else {
        Ok(())
    };
    (page, result)
}

fn verified(dir: &Path, verify: bool, wrong: Vec<String>) -> Result<()> {
    if !verify || wrong.is_empty() {
        return Ok(());
    }
    Err(Error::file(
        dir,
        format!(
            "damaged; the next run that needs it computes it again\n  {}",
            wrong.join("\n  ")
        ),
    ))
}

fn head(manifest: &Manifest, dir: &Path) -> String {
    let mut program = manifest.program.version.clone();
    if let Some(revision) = &manifest.program.revision {
        let _ = write!(program, " ({revision})");
    }
    let rows = [
        ("path", dir.display().to_string()),
        ("created", format!("{} UTC", manifest.finished.readable())),
        ("duration", duration(manifest.seconds)),
        ("size", bytes(manifest.size())),
        ("device", manifest.device.clone()),
        ("seed", manifest.seed.to_string()),
        ("program", program),
    ];
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(name, value)| vec![format!("  {name}"), value])
        .collect();
    format!(
        "{} {}\n{}",
        manifest.stage,
        manifest.fingerprint,
        columns(&rows)
    )
}

fn figures(manifest: &Manifest) -> String {
    let mut out = String::new();
    if !manifest.figures.0.is_empty() {
        let rows: Vec<Vec<String>> = manifest
            .figures
            .0
            .iter()
            .map(|(name, value)| vec![format!("  {name}"), number(*value)])
            .collect();
        let _ = write!(out, "\nfigures\n{}", columns(&rows));
    }
    if !manifest.warnings.is_empty() {
        out.push_str("\nwarnings\n");
        for warning in &manifest.warnings {
            let _ = writeln!(out, "  {}", warning.replace('\n', " "));
        }
    }
    out
}

fn files(manifest: &Manifest) -> String {
    let mut out = String::new();
    if !manifest.inputs.is_empty() {
        let rows: Vec<Vec<String>> = manifest
            .inputs
            .iter()
            .map(|i| {
                vec![
                    format!("  {}", i.key),
                    i.digest.clone(),
                    bytes(i.size),
                    i.path.display().to_string(),
                ]
            })
            .collect();
        let _ = write!(out, "\ninputs\n{}", columns(&rows));
    }
    let rows: Vec<Vec<String>> = manifest
        .outputs
        .iter()
        .map(|(name, o)| vec![format!("  {name}"), o.digest.clone(), bytes(o.size)])
        .collect();
    let _ = write!(out, "\noutputs\n{}", columns(&rows));
    out
}
