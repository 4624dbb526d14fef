//! `report.html`: a run or a sweep in one file that opens anywhere, without a network.
//!
//! Everything is read from disk, at the end of a run as well as later. Nothing here fails a run: a
//! note replaces what cannot be read.

mod brief;
mod collapse;
mod figures;
mod headline;
mod likelihood;
mod parts;
mod pictures;
mod provenance;
mod run;
mod sweep;
mod warnings;

use super::view::RunView;
use crate::store::{REPORT, RunFolder, Store, write_whole};
use crate::sweep::Trials;
use anyhow::Result;
use askama::Template as _;
use std::path::PathBuf;

/// Writes the report of the run in `folder` and returns its path.
///
/// # Errors
/// The folder cannot be written.
pub fn write_run(folder: &RunFolder) -> Result<PathBuf> {
    let found = RunView::read(folder);
    folder.write(REPORT, &run::page(&found).render()?)?;
    Ok(folder.path().join(REPORT))
}

/// What a terminal shows of the run in `folder`: its headline, and about five figures.
pub fn brief_run(folder: &RunFolder) -> String {
    let found = RunView::read(folder);
    brief::run(&found, &run::page(&found))
}

/// The headline of the sweep `name`.
///
/// # Errors
/// There is no readable record of such a sweep.
pub fn headline_of_sweep(store: &Store, name: &str) -> Result<String> {
    let folder = store.root().join("sweeps").join(name);
    let page = sweep::page(&Trials::read(store, &folder)?);
    Ok(brief::headline(name, &page.headline))
}

/// Writes the report of the sweep `name`, and its figures as SVG beside it; returns its path.
///
/// # Errors
/// There is no readable record of such a sweep, or its folder cannot be written.
pub fn write_sweep(store: &Store, name: &str) -> Result<PathBuf> {
    let folder = store.root().join("sweeps").join(name);
    let trials = Trials::read(store, &folder)?;
    for kind in super::charts::sweeps::KINDS {
        let file = format!("{}.svg", kind.name);
        match (kind.draw)(&trials) {
            Some(figure) => write_whole(&folder, &file, &figure.file())?,
            // a figure of an earlier state would show other trials
            None => drop(std::fs::remove_file(folder.join(file))),
        }
    }
    write_whole(&folder, REPORT, &sweep::page(&trials).render()?)?;
    Ok(folder.join(REPORT))
}
