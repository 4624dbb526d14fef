//! Writes feature files with their distribution as attributes, so that the truth travels with the data.

use super::target::Target;
use crate::data::{Attribute, Dataset, DatasetWriter, Described, OutData, write_described};
use crate::error::{Error, Result};
use crate::problems::Problems;
use crate::random::keyed::{Purpose, stream};
use serde_json::Value;
use std::path::Path;

/// Samples drawn and written at once.
const BLOCK_ROWS: usize = 1 << 16;

/// Maximum number of elements of an array stored as an attribute.
const LARGEST_ARRAY: usize = 1 << 17;

/// The attribute that holds the distribution as JSON.
const TARGET: &str = "target";

/// Writes `rows`, row-major [n, width], as `dataset` of a new file at `path`, with the distribution they
/// were drawn from, if known, and further attributes of the dataset.
///
/// # Errors
/// File errors.
///
/// # Panics
/// If `rows` is not a whole number of rows.
pub fn write_features(
    path: &Path,
    dataset: &str,
    rows: &[f32],
    width: usize,
    target: Option<&Target>,
    extra: &[(&str, Attribute)],
) -> Result<()> {
    let attributes = match target {
        Some(target) => target_attributes(path, target)?,
        None => Vec::new(),
    };
    let mut about: Vec<(&str, Attribute)> = (attributes.iter())
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    about.extend_from_slice(extra);
    let described = Described {
        name: dataset,
        shape: &[rows.len() / width, width],
        values: OutData::F32(rows),
        about: &about,
    };
    Ok(write_described(path, &[described], &[])?)
}

/// Draws `count` samples of `target` and writes them as `dataset` [count, d] f32 of a new file at
/// `path`, block by block in bounded memory, with the distribution and the seed as attributes of the
/// dataset.
///
/// # Errors
/// An input error for parameters out of range, and a count of 0 or of more rows than the disk has room for; file
/// errors.
pub fn generate(
    target: &Target,
    count: usize,
    seed: u64,
    path: &Path,
    dataset: &str,
) -> Result<()> {
    let mut problems = Problems::new();
    // before anything of that width is made, as the check of a target does
    problems.section("target", |p| {
        p.fits("width", target.width(), BLOCK_ROWS.min(count));
    });
    problems.into_result()?;
    let mut problems = Problems::new();
    problems.section("target", |p| target.check(p));
    problems.at_least("count", count, 1);
    problems.fits_on_disk("count", count, target.width(), path);
    problems.into_result()?;
    let mut attributes = target_attributes(path, target)?;
    attributes.push(("seed".to_owned(), Attribute::Int(seed as i64)));
    let shape = [count, target.width()];
    let mut writer = DatasetWriter::create(path, dataset, &shape, &attributes)?;
    for (block, start) in (0..count).step_by(BLOCK_ROWS).enumerate() {
        let mut rng = stream(seed, Purpose::Generate, &[block as u64]);
        writer.append(&target.sample(BLOCK_ROWS.min(count - start), &mut rng))?;
    }
    Ok(writer.commit()?)
}

/// The distribution that a dataset was generated from; `None` if it is not recorded. An attribute of
/// that name that is not JSON with a `kind` was written by another program and is ignored.
///
/// # Errors
/// An input error if it cannot be understood.
pub fn read_target(dataset: &Dataset) -> Result<Option<Target>> {
    let Some(json) = dataset.text_attribute(TARGET) else {
        return Ok(None);
    };
    let ours = serde_json::from_str::<Value>(&json).is_ok_and(|json| json.get("kind").is_some());
    if !ours {
        return Ok(None);
    }
    let target: Target = serde_json::from_str(&json).map_err(|e| {
        Error::input(format!(
            "the attribute `{TARGET}` of {} is not a target this version knows: {e}. Expected JSON such as {{\"kind\": \"moons\", \"noise\": 0.1}}; remove or correct it",
            dataset.describe()
        ))
    })?;
    let mut problems = Problems::new();
    problems.section(TARGET, |p| target.check(p));
    problems.into_result().map_err(|e| {
        Error::input(format!(
            "the attribute `{TARGET}` of {} is out of range: {e}",
            dataset.describe()
        ))
    })?;
    if target.width() != dataset.item_width() {
        return Err(Error::input(format!(
            "the attribute `{TARGET}` of {} describes a distribution of width {}; expected {}",
            dataset.describe(),
            target.width(),
            dataset.item_width()
        )));
    }
    Ok(Some(target))
}

/// The distribution as JSON, each of its parameters, and for mixtures `weights` `[K]`, `means` [K, d],
/// `covariances` [K, d, d].
fn target_attributes(path: &Path, target: &Target) -> Result<Vec<(String, Attribute)>> {
    let json = serde_json::to_value(target).map_err(|e| Error::file(path, e))?;
    let mut attributes = vec![(TARGET.to_owned(), Attribute::Text(json.to_string()))];
    if let Value::Object(parameters) = &json {
        for (name, value) in parameters {
            if let Some(value) = attribute(value) {
                attributes.push((name.clone(), value));
            }
        }
    }
    if let Some(mixture) = target.as_mixture() {
        let (modes, width) = (mixture.weights.len(), mixture.width());
        let arrays = [
            ("weights", vec![modes], mixture.weights.clone()),
            ("means", vec![modes, width], mixture.means.concat()),
            (
                "covariances",
                vec![modes, width, width],
                mixture.covariances.concat(),
            ),
        ];
        // The JSON is complete; arrays of megabytes are not useful as attributes.
        let readable = arrays
            .into_iter()
            .filter(|(_, _, values)| values.len() <= LARGEST_ARRAY);
        for (name, shape, values) in readable {
            attributes.push((name.to_owned(), Attribute::Array(shape, values)));
        }
    }
    Ok(attributes)
}

/// Numbers, text and arrays of numbers; a mixture's list of components is written as arrays.
fn attribute(value: &Value) -> Option<Attribute> {
    match value {
        Value::String(text) => Some(Attribute::Text(text.clone())),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Some(Attribute::Int(whole)),
            None => number.as_f64().map(Attribute::Float),
        },
        Value::Array(rows) => {
            if let Some(row) = rows.iter().map(Value::as_f64).collect::<Option<Vec<_>>>() {
                return Some(Attribute::Array(vec![row.len()], row));
            }
            let width = rows.first()?.as_array()?.len();
            let flat = rows
                .iter()
                .flat_map(|row| row.as_array().into_iter().flatten().map(Value::as_f64))
                .collect::<Option<Vec<_>>>()?;
            Some(Attribute::Array(vec![rows.len(), width], flat))
        }
        _ => None,
    }
}
