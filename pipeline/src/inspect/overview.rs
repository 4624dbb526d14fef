//! Artifacts as a table, one a row.

use crate::report::{bytes, columns, duration, number};
use crate::store::{Manifest, Stage, State, state_of};
use std::path::{Path, PathBuf};

/// Figures a row shows.
const KEY_FIGURES: usize = 3;

/// The table of `artifacts`; a damaged one is a row that says so.
pub fn overview(artifacts: &[(Stage, PathBuf)]) -> String {
    if artifacts.is_empty() {
        return "No artifacts yet; `latent-align run CONFIG` makes some.\n".into();
    }
    let header = [
        "stage",
        "fingerprint",
        "created (UTC)",
        "duration",
        "size",
        "key figures",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(artifacts.iter().map(|(stage, dir)| row(*stage, dir)));
    columns(&rows)
}

fn row(stage: Stage, dir: &Path) -> Vec<String> {
    let resolved = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let name = resolved.file_name().unwrap_or_default().to_string_lossy();
    let mut row = vec![stage.to_string(), name.into_owned()];
    match state_of(dir) {
        State::Whole(manifest) => row.extend(cells(&manifest)),
        State::Damaged(why) => {
            let why = why.replace('\n', " ");
            row.extend(["-", "-", "-"].map(str::to_owned));
            row.push(format!("DAMAGED: {why}"));
        }
        State::Absent => {
            row.extend(["-", "-", "-"].map(str::to_owned));
            row.push("DAMAGED: not a folder, or a link to nothing".into());
        }
    }
    row
}

fn cells(manifest: &Manifest) -> [String; 4] {
    let figures: Vec<String> = manifest
        .figures
        .0
        .iter()
        .take(KEY_FIGURES)
        .map(|(name, value)| format!("{name} {}", number(*value)))
        .collect();
    [
        manifest.finished.readable(),
        duration(manifest.seconds),
        bytes(manifest.size()),
        figures.join(", "),
    ]
}
