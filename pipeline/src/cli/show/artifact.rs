//! One artifact in full.

use crate::catalogue::lineage;
use crate::store::{Manifest, State, state_of};
use crate::tables::{bytes, columns, duration, number};
use latent_align_stages::{Error, Result};
use std::fmt::Write as _;
use std::path::Path;

/// Everything about the artifact in `dir`; for a damaged one, what is wrong with it.
///
/// # Errors
/// [`Error::File`] if this user may not read it.
pub fn artifact_page(dir: &Path) -> Result<String> {
    let mut page = String::new();
    let damaged = |why: &str| Ok(format!("{}\nDAMAGED: {why}\n", dir.display()));
    let manifest = match state_of(dir) {
        State::Whole(manifest) => *manifest,
        State::Damaged(why) => match Manifest::read(dir) {
            Ok(manifest) => {
                let _ = writeln!(page, "DAMAGED: {why}\n");
                manifest
            }
            Err(_) => return damaged(&why),
        },
        State::Unreadable(why) => {
            return Err(Error::file(dir, format!("cannot be read: {why}")));
        }
        State::Absent => return damaged("not a folder"),
    };
    page.push_str(&head(&manifest, dir));
    page.push_str(&figures(&manifest));
    page.push_str(&files(&manifest));
    let _ = write!(page, "\nlineage\n{}", lineage::tree(dir, &manifest));
    if let Ok(config) = serde_yaml::to_string(&manifest.config) {
        page.push_str("\nconfig\n");
        for line in config.lines() {
            let _ = writeln!(page, "  {line}");
        }
    }
    Ok(page)
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
