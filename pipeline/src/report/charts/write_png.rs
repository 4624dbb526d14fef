//! The figures of a run or sweep as PNG files, written on request.

use super::figure::Figure;
use super::png::Painter;
use super::{KINDS, sweeps};
use crate::store::{RunFolder, Store};
use crate::sweep::Trials;
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// What was written, and what could not be.
#[derive(Debug, Default)]
pub struct Written {
    pub files: Vec<PathBuf>,
    pub warnings: Vec<String>,
}

/// Writes those of the run in `folder`.
///
/// # Errors
/// There are no fonts, or the folder cannot be written.
pub fn of_run(folder: &RunFolder) -> Result<Written> {
    let stages = folder.stages();
    let figures = KINDS.iter().map(|kind| (kind.name, (kind.draw)(&stages)));
    write(folder.path(), figures)
}

/// Writes those of the sweep `name`.
///
/// # Errors
/// As [`of_run`]; there is no such sweep.
pub fn of_sweep(store: &Store, name: &str) -> Result<Written> {
    let folder = store.root().join("sweeps").join(name);
    let trials = Trials::read(store, &folder)?;
    let kinds = sweeps::KINDS.iter();
    let figures = kinds.map(|kind| (kind.name, Ok((kind.draw)(&trials))));
    write(&folder, figures)
}

fn write<'a>(
    folder: &Path,
    figures: impl Iterator<Item = (&'a str, Result<Option<Figure>>)>,
) -> Result<Written> {
    let painter = Painter::new()?;
    let mut written = Written::default();
    for (name, figure) in figures {
        match figure {
            Ok(Some(figure)) => {
                let file = folder.join(format!("{name}.png"));
                let png = painter
                    .paint(&figure)
                    .with_context(|| format!("painting {name}"))?;
                std::fs::write(&file, png)
                    .with_context(|| format!("writing {}", file.display()))?;
                written.files.push(file);
            }
            Ok(None) => {}
            Err(why) => written
                .warnings
                .push(format!("{name}.png is missing: {why:#}")),
        }
    }
    Ok(written)
}
