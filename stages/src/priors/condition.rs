//! Conditions of points: class labels, or embeddings.

use crate::error::{Error, Result};
use crate::tensors::from_f32;
use burn::tensor::{Device, Tensor};
use rand::RngExt;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Kind of condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ConditionKind {
    /// A class, 0 to `classes` - 1.
    Labels {
        /// Number of classes.
        classes: usize,
    },
    /// A vector such as a text embedding.
    Embedding {
        /// Width c of the vector.
        width: usize,
    },
}

/// The conditions of a batch of points.
#[derive(Debug, Clone, PartialEq)]
pub enum Conditions {
    /// One class per point.
    Labels(Vec<u32>),
    /// One vector per point, row-major [n, width].
    Embeddings {
        values: Vec<f32>,
        /// c.
        width: usize,
    },
}

impl Conditions {
    /// Number of points.
    pub fn len(&self) -> usize {
        match self {
            Self::Labels(labels) => labels.len(),
            Self::Embeddings { values, width } => values.len() / width,
        }
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The conditions of the points `chosen`, in that order.
    pub fn select(&self, chosen: impl IntoIterator<Item = usize>) -> Self {
        match self {
            Self::Labels(labels) => Self::Labels(chosen.into_iter().map(|i| labels[i]).collect()),
            Self::Embeddings { values, width } => Self::Embeddings {
                values: (chosen.into_iter())
                    .flat_map(|i| values[i * width..(i + 1) * width].iter().copied())
                    .collect(),
                width: *width,
            },
        }
    }
}

impl ConditionKind {
    /// Width of an encoded condition: one column per class, or the embedding's columns, plus one for "none".
    pub fn columns(self) -> usize {
        1 + match self {
            Self::Labels { classes } => classes,
            Self::Embedding { width } => width,
        }
    }

    /// Refuses `conditions` of another kind; `place` names their origin.
    ///
    /// # Errors
    /// An input error.
    pub fn require(self, conditions: &Conditions, place: &str) -> Result<()> {
        let (found, fits) = match (conditions, self) {
            (Conditions::Labels(labels), Self::Labels { classes }) => {
                let most = labels.iter().max().map_or(0, |&most| most as usize);
                (format!("the class {most}"), most < classes)
            }
            (Conditions::Embeddings { width, .. }, Self::Embedding { width: expected }) => {
                (format!("embeddings of width {width}"), *width == expected)
            }
            (Conditions::Labels(_), _) => ("labels".to_owned(), false),
            (Conditions::Embeddings { .. }, _) => ("embeddings".to_owned(), false),
        };
        if fits {
            return Ok(());
        }
        let expected = match self {
            Self::Labels { classes } => format!("labels 0 to {}", classes - 1),
            Self::Embedding { width } => format!("embeddings of width {width}"),
        };
        Err(Error::input(format!(
            "{place}: found {found}, expected {expected}, which the prior was trained with"
        )))
    }

    /// Encodes conditions as rows [n, c]: one-hot classes or the embedding, and 0 in the last column. "none"
    /// is 1 in the last column and 0 elsewhere. Without `conditions`, all `count` rows are "none".
    pub fn encode(
        self,
        conditions: Option<&Conditions>,
        count: usize,
        device: &Device,
    ) -> Tensor<2> {
        self.encode_some(conditions, &vec![conditions.is_some(); count], device)
    }

    /// As [`Self::encode`], but each condition is replaced by "none" with probability `rate`.
    pub fn encode_with_dropout(
        self,
        conditions: &Conditions,
        rate: f64,
        rng: &mut Pcg64,
        device: &Device,
    ) -> Tensor<2> {
        let kept: Vec<bool> = (0..conditions.len())
            .map(|_| rng.random::<f64>() >= rate)
            .collect();
        self.encode_some(Some(conditions), &kept, device)
    }

    /// One row for each element of `kept`, "none" where it is false.
    fn encode_some(
        self,
        conditions: Option<&Conditions>,
        kept: &[bool],
        device: &Device,
    ) -> Tensor<2> {
        let columns = self.columns();
        let mut rows = vec![0.0; kept.len() * columns];
        for (i, (row, &kept)) in rows.chunks_exact_mut(columns).zip(kept).enumerate() {
            match (conditions, kept) {
                (Some(Conditions::Labels(labels)), true) => row[labels[i] as usize] = 1.0,
                (Some(Conditions::Embeddings { values, width }), true) => {
                    row[..*width].copy_from_slice(&values[i * width..(i + 1) * width]);
                }
                _ => row[columns - 1] = 1.0,
            }
        }
        from_f32(rows, [kept.len(), columns], device)
    }
}

/// Width of an encoded condition; 0 without one.
pub(super) fn columns_of(condition: Option<ConditionKind>) -> usize {
    condition.map_or(0, ConditionKind::columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;
    use crate::tensors::to_f32;

    #[test]
    fn labels_embeddings_and_none_are_told_apart() {
        let device = Device::flex();
        let kind = ConditionKind::Labels { classes: 3 };
        let labels = Conditions::Labels(vec![2, 0]);
        let rows = to_f32(kind.encode(Some(&labels), 2, &device)).unwrap();
        assert_eq!(rows, [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        let none = to_f32(kind.encode(None, 1, &device)).unwrap();
        assert_eq!(none, [0.0, 0.0, 0.0, 1.0]);
        let embeddings = Conditions::Embeddings {
            values: vec![0.5, -1.0, 2.0, 3.0],
            width: 2,
        };
        let kind = ConditionKind::Embedding { width: 2 };
        let second = embeddings.select([1]);
        let rows = to_f32(kind.encode(Some(&second), 1, &device)).unwrap();
        assert_eq!(rows, [2.0, 3.0, 0.0]);
    }

    #[test]
    fn a_share_of_the_conditions_is_dropped() {
        let labels = Conditions::Labels(vec![1; 4000]);
        let kind = ConditionKind::Labels { classes: 2 };
        let mut rng = Streams::new(1).at("dropout", 0);
        let rows = kind.encode_with_dropout(&labels, 0.25, &mut rng, &Device::flex());
        let rows = to_f32(rows).unwrap();
        let none = rows.chunks_exact(3).filter(|row| row[2] == 1.0).count();
        assert!((850..1150).contains(&none), "{none}");
        assert!(rows.chunks_exact(3).all(|row| row[1] + row[2] == 1.0));
    }

    #[test]
    fn conditions_of_another_kind_are_refused_with_what_was_expected() {
        let labels = Conditions::Labels(vec![0, 4]);
        let told =
            |kind: ConditionKind| kind.require(&labels, "labels.h5").unwrap_err().to_string();
        assert!(told(ConditionKind::Labels { classes: 4 }).contains("labels 0 to 3"));
        assert!(told(ConditionKind::Embedding { width: 8 }).contains("width 8"));
        ConditionKind::Labels { classes: 5 }
            .require(&labels, "")
            .unwrap();
    }
}
