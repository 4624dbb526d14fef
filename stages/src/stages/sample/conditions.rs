//! Conditions of samples.

use super::trained_on::{TrainedOn, items};
use crate::data::Part;
use crate::error::{Error, Result};
use crate::inference::Condition;
use crate::priors::{ConditionKind, Conditions, KeptPoints, stored};
use crate::problems::{Problems, quoted};
use latent_align_hdf5::closest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Maximum number of conditions side by side in the picture.
const WIDEST: usize = 16;

/// Rows that the flow was not trained on, whose embeddings are used in turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Chosen {
    /// This many rows, evenly spaced.
    Count(usize),
    /// Rows with these names in `trained_on.names`.
    Names(Vec<String>),
}

impl Chosen {
    /// Reports a number of rows that does not fit side by side.
    pub fn check(&self, named: bool, problems: &mut Problems) {
        let count = match self {
            Self::Count(count) => *count,
            Self::Names(names) => names.len(),
        };
        problems.within("conditions", count, 1..=WIDEST);
        problems.require(
            named || matches!(self, Self::Count(_)),
            "conditions",
            "names of rows",
            "a number, or `trained_on: {file, dataset, names}`, which gives the names of rows",
        );
    }
}

/// The conditions of samples.
#[derive(Debug, Default)]
pub struct Asked {
    /// The flow's condition; None if it takes none.
    pub condition: Option<Condition>,
    /// Number of classes that samples cycle through, for a flow of classes.
    pub classes: Option<usize>,
    /// Number of conditions that samples cycle through, if they are side by side in the picture.
    pub columns: Option<usize>,
    /// Names of the conditions; empty if unknown.
    pub names: Vec<String>,
}

impl Asked {
    /// The conditions of `count` samples of the flow in the directory `dir`: each class in turn, or the embeddings
    /// of rows it was not trained on, all of them or the `chosen` ones.
    ///
    /// # Errors
    /// File errors; input errors for a choice that the flow does not support.
    pub fn of(
        dir: &Path,
        count: usize,
        chosen: Option<&Chosen>,
        trained_on: Option<&TrainedOn>,
    ) -> Result<Self> {
        let refuse = |found, expected| Err(refused(found, expected));
        match (stored(dir)?.condition, chosen) {
            (None, None) => Ok(Self::default()),
            (None, Some(_)) => refuse("a flow without conditions", "none; leave it out"),
            (Some(ConditionKind::Labels { .. }), Some(_)) => refuse(
                "a flow of classes, which draws each class in turn",
                "none; leave it out",
            ),
            (Some(ConditionKind::Labels { classes }), None) => {
                let labels = (0..count.max(classes)).map(|i| (i % classes) as u32);
                let given = Conditions::Labels(labels.collect());
                Ok(Self {
                    condition: Some(Condition::Given(given)),
                    classes: Some(classes),
                    columns: Some(classes),
                    names: Vec::new(),
                })
            }
            (Some(ConditionKind::Embedding { .. }), chosen) => {
                Self::of_rows(dir, chosen, trained_on.and_then(TrainedOn::names))
            }
        }
    }

    /// The embeddings of rows, all or the `chosen` ones, which may have `names`.
    fn of_rows(dir: &Path, chosen: Option<&Chosen>, names: Option<&[String]>) -> Result<Self> {
        let Some((part, kept)) = KeptPoints::shown(dir)? else {
            return Ok(Self::default());
        };
        let all: Vec<usize> = items(&kept).collect();
        let called = |i: usize| Some(names?.get(all[i])?.clone());
        let rows = match chosen {
            None => (0..all.len()).collect(),
            Some(Chosen::Count(count)) => kept.chosen(count * kept.tokens),
            Some(Chosen::Names(wanted)) => {
                let known: Vec<String> = (0..all.len()).filter_map(called).collect();
                let row = |name| row_called(name, &known, part);
                wanted.iter().map(row).collect::<Result<_>>()?
            }
        };
        let given = kept.points.conditions.as_ref();
        let given = given.map(|given| given.select(rows.iter().copied()));
        Ok(Self {
            condition: given.map(Condition::Given),
            classes: None,
            columns: chosen.map(|_| rows.len()),
            names: match chosen {
                Some(_) => rows.into_iter().filter_map(called).collect(),
                None => Vec::new(),
            },
        })
    }
}

/// The row `name` of those with `known` names.
fn row_called(name: &String, known: &[String], part: Part) -> Result<usize> {
    let row = known.iter().position(|k| k == name);
    row.ok_or_else(|| {
        let such_as = match closest(name, known) {
            Some(close) => format!("`{close}`"),
            None => quoted(&known[..known.len().min(3)]),
        };
        let expected = format!("the name of a {} row, such as {such_as}", part.word());
        refused(&format!("`{name}`"), &expected)
    })
}

fn refused(found: &str, expected: &str) -> Error {
    Error::input(format!(
        "sample.conditions: found {found}, expected {expected}"
    ))
}
