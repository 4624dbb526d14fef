//! Conditions of rows: one class for all, or a label or an embedding per row.

use super::rows::refuse_non_finite;
use crate::data::{Dataset, SourceConfig, read_dataset_f32};
use crate::error::{Error, Result};
use crate::priors::{ConditionKind, Conditions};
use std::ops::Range;

/// The requested condition.
#[derive(Debug, Clone)]
pub enum Condition {
    /// One class for all rows.
    Class(u32),
    /// A dataset with a label `[N]` or an embedding [N, c] per row.
    Rows(SourceConfig),
    /// A condition per row.
    Given(Conditions),
}

/// The condition of each row.
#[derive(Debug)]
pub(super) enum OfRows {
    Class(u32),
    Embeddings(Dataset),
    Given(Conditions),
}

impl OfRows {
    /// Interprets `condition` for a prior with conditions of the kind `kind`, or without conditions.
    ///
    /// # Errors
    /// An input error for a prior without conditions, and for conditions of another kind, shape or range;
    /// as [`Dataset::open`].
    pub fn read(condition: &Condition, kind: Option<ConditionKind>) -> Result<Self> {
        let Some(kind) = kind else {
            return Err(Error::input(
                "--condition: found a condition, expected none: this flow was trained without; leave it out, or \
                 name a run with `pretrain_flow.condition`",
            ));
        };
        let source = match (condition, kind) {
            (Condition::Class(class), _) => {
                kind.require(&Conditions::Labels(vec![*class]), "--condition")?;
                return Ok(Self::Class(*class));
            }
            (Condition::Given(conditions), _) => {
                kind.require(conditions, "conditions")?;
                return Ok(Self::Given(conditions.clone()));
            }
            (Condition::Rows(source), _) => source,
        };
        let place = format!("`{}` in {}", source.dataset, source.file);
        if let ConditionKind::Embedding { .. } = kind {
            let dataset = source.open()?;
            let width = dataset.item_width();
            kind.require(
                &Conditions::Embeddings {
                    values: Vec::new(),
                    width,
                },
                &place,
            )?;
            return Ok(Self::Embeddings(dataset));
        }
        let ConditionKind::Labels { classes } = kind else {
            unreachable!("embeddings are done")
        };
        let expected = format!("labels 0 to {}, one per row, of shape [N]", classes - 1);
        let refuse = |found: String| {
            Err(Error::input(format!(
                "{place}: found {found}, expected {expected}"
            )))
        };
        let (shape, values) = read_dataset_f32(source.file.first(), &source.dataset)?;
        if shape.len() != 1 || shape[0] == 0 {
            return refuse(format!("shape {shape:?}"));
        }
        let is_class = |&v: &f32| v >= 0.0 && v < classes as f32 && v.fract() == 0.0;
        match values.iter().position(|v| !is_class(v)) {
            Some(row) => refuse(format!("{} at row {row}", values[row])),
            None => {
                let labels = values.iter().map(|&v| v as u32).collect();
                Ok(Self::Given(Conditions::Labels(labels)))
            }
        }
    }

    /// Number of rows; None if all rows share one condition.
    pub fn count(&self) -> Option<usize> {
        match self {
            Self::Class(_) => None,
            Self::Embeddings(dataset) => Some(dataset.items()),
            Self::Given(conditions) => Some(conditions.len()),
        }
    }

    /// Checks that there are `expected` rows.
    ///
    /// # Errors
    /// An input error.
    pub fn require_count(&self, expected: usize) -> Result<()> {
        match self.count() {
            Some(count) if count != expected => Err(Error::input(format!(
                "--condition: found conditions of {count} rows, expected one for each of the {expected} rows"
            ))),
            _ => Ok(()),
        }
    }

    /// The conditions of `rows`.
    ///
    /// # Errors
    /// As [`Dataset::read_items`]; an input error for an embedding that is not finite.
    pub fn of(&self, rows: Range<usize>) -> Result<Conditions> {
        Ok(match self {
            Self::Class(class) => Conditions::Labels(vec![*class; rows.len()]),
            Self::Given(conditions) => conditions.select(rows),
            Self::Embeddings(dataset) => {
                let values = dataset.read_items(rows.clone())?;
                let width = dataset.item_width();
                refuse_non_finite(dataset, rows.start, &values)?;
                Conditions::Embeddings { values, width }
            }
        })
    }
}
