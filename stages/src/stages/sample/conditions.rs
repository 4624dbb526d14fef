//! What samples are conditioned on.

use super::trained_on::{TrainedOn, items};
use crate::error::{Error, Result};
use crate::inference::Condition;
use crate::priors::{ConditionKind, Conditions, KeptPoints, stored};
use crate::problems::{Problems, quoted};
use latent_align_hdf5::closest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Rows whose conditions stand side by side, at most.
const WIDEST: usize = 16;

/// Some of the rows that the flow was not trained on, whose embeddings samples take in turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Chosen {
    /// So many, evenly spread.
    Count(usize),
    /// Those that `trained_on.names` calls so.
    Names(Vec<String>),
}

impl Chosen {
    /// Notes a number that does not fit beside each other.
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
            "a number, or `trained_on: {file, dataset, names}`, which says what rows are called",
        );
    }
}

/// The conditions of samples.
#[derive(Debug, Default)]
pub struct Asked {
    /// What the flow is given; none where it takes no conditions.
    pub condition: Option<Condition>,
    /// How many classes samples come in, in turn, of a flow of classes.
    pub classes: Option<usize>,
    /// How many conditions there are, in turn, where they stand side by side in the picture.
    pub columns: Option<usize>,
    /// What these are called; empty where that is not known.
    pub names: Vec<String>,
}

impl Asked {
    /// Those of `count` samples of the flow in the directory `dir`: each class in turn, or the embeddings of rows that it was
    /// not trained on, of all of them or of the `chosen`.
    ///
    /// # Errors
    /// File errors; input errors for a choice that the flow does not have.
    pub fn of(
        dir: &Path,
        count: usize,
        chosen: Option<&Chosen>,
        trained_on: Option<&TrainedOn>,
    ) -> Result<Self> {
        let refused = |found: &str, expected: &str| {
            Error::input(format!(
                "sample.conditions: found {found}, expected {expected}"
            ))
        };
        let refuse = |found, expected| Err(refused(found, expected));
        let kind = stored(dir)?.condition;
        match (kind, chosen) {
            (None, None) => Ok(Self::default()),
            (None, Some(_)) => refuse("a flow without conditions", "none; leave it out"),
            (Some(ConditionKind::Labels { .. }), Some(_)) => refuse(
                "a flow of classes, which is asked for each in turn",
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
                let Some((part, kept)) = KeptPoints::shown(dir)? else {
                    return Ok(Self::default());
                };
                let all: Vec<usize> = items(&kept).collect();
                let names = trained_on.and_then(TrainedOn::names);
                let called = |i: usize| Some(names?.get(all[i])?.clone());
                let rows = match chosen {
                    None => (0..all.len()).collect(),
                    Some(Chosen::Count(count)) => kept.chosen(count * kept.tokens),
                    Some(Chosen::Names(wanted)) => {
                        let known: Vec<String> = (0..all.len()).filter_map(called).collect();
                        let row = |name: &String| {
                            let row = known.iter().position(|k| k == name);
                            row.ok_or_else(|| {
                                refused(
                                    &format!("`{name}`"),
                                    &format!(
                                        "the name of a {} row, such as {}",
                                        part.word(),
                                        match closest(name, &known) {
                                            Some(close) => format!("`{close}`"),
                                            None => quoted(&known[..known.len().min(3)]),
                                        }
                                    ),
                                )
                            })
                        };
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
    }
}
