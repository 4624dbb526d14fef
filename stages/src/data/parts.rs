//! Resolves the configured parts to the part of each item: opens datasets and reads lists.

use super::config::{PartConfig, SourceConfig};
use super::split::{Part, Split};
use crate::error::{Error, Result};
use latent_align_hdf5::{Dataset, Stack, absolute, read_dataset};
use std::path::Path;

/// The datasets of all parts, and the part of each item. Items that are neither listed nor in a
/// separate dataset are assigned by `seed`.
///
/// # Errors
/// Errors of [`Dataset::open`]; a dataset whose rows differ from those of the training set; a list with
/// invalid items, repetitions, or items of the other part.
pub(super) fn resolve(
    source: &SourceConfig,
    seed: u64,
    held_out: &PartConfig,
    test: &PartConfig,
) -> Result<(Stack, Split)> {
    let mut stack = Stack::of(source.open()?);
    let items = stack.items();
    let (mut datasets, mut listed) = (Vec::new(), Vec::new());
    for (part, config) in [(Part::HeldOut, held_out), (Part::Test, test)] {
        let is_read = config.dataset.is_some() || config.indices.is_some();
        if is_read && config.file.is_none() && source.file.are_several() {
            return Err(Error::input(format!(
                "{0}.file: found nothing, expected the file of the {1} part, since the data is in {2}; name it, or use a \
                 share with `{0}: {{fraction: 0.05}}`",
                part.key(),
                part.word(),
                source.file
            )));
        }
        let file = config.file.as_deref().unwrap_or(source.file.first());
        if let Some(name) = &config.dataset {
            let given = Dataset::open(file, name)?;
            must_match(&stack, &given, part)?;
            datasets.push((stack.push(given), part));
        }
        if let Some(name) = &config.indices {
            let list = read_indices(file, name, part, stack.first())?;
            listed.extend(list.into_iter().map(|item| (item, part)));
        }
    }
    listed.sort_unstable_by_key(|entry| entry.0);
    if let Some(pair) = listed.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Error::input(format!(
            "held_out.indices and test.indices: found item {} of {} in both, expected lists without a common item; take it out of one",
            pair[0].0,
            stack.first().describe()
        )));
    }
    if listed.len() == items {
        return Err(Error::input(format!(
            "held_out.indices and test.indices name all {items} items of {}, expected some to train on; name fewer",
            stack.first().describe()
        )));
    }
    let split = Split::drawn(seed, held_out.share(), test.share()).given(datasets, listed);
    Ok((stack, split))
}

/// Refuses a dataset that cannot be a part of the data.
fn must_match(stack: &Stack, given: &Dataset, part: Part) -> Result<()> {
    let key = part.key();
    let again = |d: &&Dataset| d.path() == given.path() && d.name() == given.name();
    if let Some(other) = stack.datasets().iter().find(again) {
        return Err(Error::input(format!(
            "{key}.dataset: found {}, which is already another part, expected a separate dataset; \
             name one, or use a share with `{key}: {{fraction: 0.05}}`",
            other.describe()
        )));
    }
    let first = stack.first();
    if given.shape()[1..] == first.shape()[1..] && given.element() == first.element() {
        return Ok(());
    }
    let alike: Vec<String> = (first.shape()[1..].iter())
        .map(ToString::to_string)
        .collect();
    Err(Error::input(format!(
        "{key}.dataset: found {}, expected items like those of {}: shape [N, {}] of {}; convert it with numpy, `.reshape` and `.astype`",
        given.describe(),
        first.describe(),
        alike.join(", "),
        first.element()
    )))
}

/// The items of the list `name` in `file`.
fn read_indices(file: &Path, name: &str, part: Part, data: &Dataset) -> Result<Vec<usize>> {
    let place = format!(
        "{}.indices: `{}` in {}",
        part.key(),
        absolute(name),
        file.display()
    );
    let (shape, values) = read_dataset::<f64>(file, name, "numbers")?;
    let refuse = |found: String| {
        Err(Error::input(format!(
            "{place}: found {found}, expected the numbers of the {} items, each once, of shape [n]: whole numbers from 0 to {} for {}",
            part.word(),
            data.items() - 1,
            data.describe()
        )))
    };
    if shape.len() != 1 || values.is_empty() {
        return refuse(format!("shape {shape:?}"));
    }
    let is_item = |v: &f64| v.fract() == 0.0 && *v >= 0.0 && *v < data.items() as f64;
    if let Some(at) = values.iter().position(|v| !is_item(v)) {
        return refuse(format!("{} at {at}", values[at]));
    }
    let mut items: Vec<usize> = values.iter().map(|&v| v as usize).collect();
    items.sort_unstable();
    if let Some(pair) = items.windows(2).find(|pair| pair[0] == pair[1]) {
        return refuse(format!("{} twice", pair[0]));
    }
    Ok(items)
}
