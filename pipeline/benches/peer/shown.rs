//! Whether all sides compute the same: each writes the results of its task, from weights and inputs that this
//! program wrote before.

use super::jobs::{FOUND, FOUND_THERE, GRADIENT, GRADIENT_THERE, Shown, Tensors};
use super::side::{Side, Way};
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::path::Path;

/// The largest relative difference explained by rounding, including TF32 on a GPU.
const LIMIT: f64 = 1e-2;
/// Gradients smaller than this share of the largest gradient are compared relative to that share.
const SMALL: f64 = 1e-3;

/// The largest difference between this program, the first of `sides`, and the others in the results of the task
/// that all are set up for, relative to the largest number of each tensor. None if this program is alone.
///
/// # Errors
/// The difference exceeds rounding, or a side fails.
pub fn check(sides: &mut [&mut Side]) -> Result<Option<f64>> {
    let [ours, peers @ ..] = sides else {
        return Ok(None);
    };
    if peers.is_empty() || ours.way != Way::Ours {
        return Ok(None);
    }
    let folder = tempfile::tempdir()?;
    ours.show(folder.path())?;
    let mut greatest = 0.0f64;
    for peer in peers {
        peer.show(folder.path())?;
        let (found, of) = differences(folder.path())?;
        ensure!(
            found < LIMIT,
            "{}: {of} differs by {found:.1e} of its size from ours with the same weights at the same points, expected less \
             than {LIMIT:.0e}: they do not compute the same",
            peer.way.name(),
        );
        greatest = greatest.max(found);
    }
    Ok(Some(greatest))
}

/// The largest relative difference between the results of both sides in `folder`, and its tensor.
///
/// # Errors
/// File errors; as [`difference`].
pub fn differences(folder: &Path) -> Result<(f64, String)> {
    let shown = Shown(folder);
    let mut greatest = (0.0, String::new());
    for [here, there] in [[FOUND, FOUND_THERE], [GRADIENT, GRADIENT_THERE]] {
        let file = shown.file(here);
        if !file.exists() {
            continue;
        }
        let (ours, theirs) = (Tensors::read(&file)?, Tensors::read(&shown.file(there))?);
        let (found, of) = difference(&ours, &theirs)?;
        if found > greatest.0 {
            greatest = (found, format!("{here}: `{of}`"));
        }
    }
    Ok(greatest)
}

/// The largest relative difference, and its tensor.
///
/// # Errors
/// A tensor is missing on one side, or differs in size.
pub fn difference(ours: &Tensors, theirs: &Tensors) -> Result<(f64, String)> {
    let theirs: BTreeMap<&str, &[f32]> = theirs.values().collect();
    let count = ours.values().count();
    ensure!(
        count == theirs.len(),
        "found {:?}, expected {:?}",
        theirs.keys().collect::<Vec<_>>(),
        ours.values().map(|(name, _)| name).collect::<Vec<_>>()
    );
    let size = |values: &[f32]| {
        values
            .iter()
            .map(|&x| f64::from(x.abs()))
            .fold(0.0, f64::max)
    };
    let least = SMALL
        * ours
            .values()
            .map(|(_, values)| size(values))
            .fold(0.0, f64::max);
    // each of several results is compared at its own scale
    let least = if count > FEW { least } else { 0.0 };
    let mut greatest = (0.0, String::new());
    for (name, values) in ours.values() {
        let other = theirs.get(name).copied().unwrap_or_default();
        ensure!(
            other.len() == values.len(),
            "`{name}`: found {} numbers, expected {}",
            other.len(),
            values.len()
        );
        let apart = values
            .iter()
            .zip(other)
            .map(|(a, b)| f64::from(a - b).abs());
        // NaN counts as infinitely different
        let apart = apart.map(|x| if x.is_nan() { f64::INFINITY } else { x });
        let apart = apart.fold(0.0, f64::max);
        let relative = if apart == 0.0 {
            0.0
        } else {
            apart / size(values).max(least)
        };
        if relative > greatest.0 {
            greatest = (relative, name.to_owned());
        }
    }
    Ok(greatest)
}

/// Up to this many tensors are results, more are weights.
const FEW: usize = 2;
