//! Features as points of a prior, stored with it.

use super::condition::Conditions;
use super::kind::Batch;
use crate::data::{
    Attribute, Described, OutData, Part, has_dataset, read_dataset_f32, read_dataset_i64,
    write_described,
};
use crate::error::{Error, Result};
use crate::tensors::spread_indices;
use std::path::{Path, PathBuf};

/// How to obtain a readable file.
const REMEDY: &str = "pretrain the flow again";

/// Attributes of a file of points.
pub fn about_points() -> [(&'static str, Attribute); 2] {
    let text = |text: &str| Attribute::Text(text.to_owned());
    [
        ("space", text("points of the flow: (feature - mean) matrix")),
        ("units", text("none: standardised by the normalisation")),
    ]
}

/// Features of a part as points of the flow, stored with it in `held_out.h5`, `test.h5` or `train.h5`. Those of the
/// training part are a subset, for regularisers that compare latents with samples of the target.
///
/// | dataset | contents |
/// |---|---|
/// | `/points` [n, d] f32 | the points; attributes give their space and units |
/// | `/items` `[n]` i64 | the item of each point; the T tokens of an item are consecutive (attribute `tokens`) |
/// | `/labels` `[n / T]` i64 | the class of each item, if the flow is conditioned on classes |
/// | `/embeddings` [n / T, c] f32 | the embedding of each item, if the flow is conditioned on embeddings |
#[derive(Debug, Clone, PartialEq)]
pub struct KeptPoints {
    /// Row-major [n, d], with the condition of each item, `[n / T]`.
    pub points: Batch,
    /// d.
    pub width: usize,
    /// The item of each point.
    pub items: Vec<i64>,
    /// T, the number of consecutive tokens per item: 1 for features [N, D].
    pub tokens: usize,
}

impl KeptPoints {
    /// At most `at_most` of the points [m, d], evenly spread, in whole items (at least one), with the
    /// condition of each item.
    pub fn some(&self, at_most: usize) -> Batch {
        self.points
            .select(self.tokens * self.width, &self.chosen(at_most))
    }

    /// Indices of the items that [`Self::some`] takes.
    pub fn chosen(&self, at_most: usize) -> Vec<usize> {
        let items = match at_most {
            0 => 0,
            some => (some / self.tokens).max(1),
        };
        spread_indices(self.items.len() / self.tokens, items).collect()
    }

    /// Writes the points into the directory `dir`.
    ///
    /// # Errors
    /// File errors.
    pub fn save(&self, part: Part, dir: &Path) -> Result<()> {
        let count = self.items.len();
        let of_items = count / self.tokens;
        let about = about_points();
        let meaning = |text: &str| [("meaning", Attribute::Text(text.into()))];
        let (of_points, of_labels) = (
            meaning("the item of each point"),
            meaning("the class of each item"),
        );
        let of_embeddings = meaning("what each item is conditioned on");
        let mut labels = Vec::new();
        let mut shape = vec![of_items];
        let condition = match &self.points.conditions {
            None => None,
            Some(Conditions::Labels(given)) => {
                labels.extend(given.iter().map(|&label| i64::from(label)));
                Some((LABELS, OutData::I64(&labels), &of_labels))
            }
            Some(Conditions::Embeddings { values, width }) => {
                shape.push(*width);
                Some((EMBEDDINGS, OutData::F32(values), &of_embeddings))
            }
        };
        let dims = [count, self.width];
        let mut datasets = vec![
            Described {
                name: "points",
                shape: &dims,
                values: OutData::F32(&self.points.values),
                about: &about,
            },
            Described {
                name: "items",
                shape: &dims[..1],
                values: OutData::I64(&self.items),
                about: &of_points,
            },
        ];
        if let Some((name, values, about)) = condition {
            datasets.push(Described {
                name,
                shape: &shape,
                values,
                about,
            });
        }
        Ok(write_described(
            &kept_file(part, dir),
            &datasets,
            &[
                ("part", Attribute::Text(part.word().into())),
                ("tokens", Attribute::Int(self.tokens as i64)),
            ],
        )?)
    }

    /// The points of `part` stored with the flow in `dir`; None if there are none, as for an imported
    /// flow.
    ///
    /// # Errors
    /// An input error for a file with other contents.
    pub fn load(part: Part, dir: &Path) -> Result<Option<Self>> {
        let path = kept_file(part, dir);
        if !path.is_file() || !has_dataset(&path, "points")? {
            return Ok(None);
        }
        let (shape, values) = read_dataset_f32(&path, "points")?;
        let (_, items) = read_dataset_i64(&path, "items")?;
        let tokens = items.iter().take_while(|&&item| item == items[0]).count();
        let refuse = |found: String| {
            Err(Error::input(format!(
                "{}: found {found} of {} items, expected [n, d] with n items of equally many tokens; {REMEDY}",
                path.display(),
                items.len(),
            )))
        };
        let width = match shape[..] {
            [n, width] if n == items.len() && n > 0 && n % tokens == 0 => width,
            _ => return refuse(format!("points {shape:?}")),
        };
        let conditions = conditions_in(&path)?;
        if let Some(conditions) = &conditions
            && conditions.len() * tokens != items.len()
        {
            return refuse(format!("{} conditions", conditions.len()));
        }
        Ok(Some(Self {
            points: Batch { values, conditions },
            width,
            items,
            tokens,
        }))
    }

    /// The points to show and their part: the test part, or the held-out part if there is no test part.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn shown(dir: &Path) -> Result<Option<(Part, Self)>> {
        for part in [Part::Test, Part::HeldOut] {
            if let Some(kept) = Self::load(part, dir)? {
                return Ok(Some((part, kept)));
            }
        }
        Ok(None)
    }
}

const LABELS: &str = "labels";
const EMBEDDINGS: &str = "embeddings";

/// The conditions of the items in the file `path`, if any.
fn conditions_in(path: &Path) -> Result<Option<Conditions>> {
    if has_dataset(path, LABELS)? {
        let (_, labels) = read_dataset_i64(path, LABELS)?;
        let labels = labels.iter().map(|&label| label as u32).collect();
        return Ok(Some(Conditions::Labels(labels)));
    }
    if has_dataset(path, EMBEDDINGS)? {
        let (shape, values) = read_dataset_f32(path, EMBEDDINGS)?;
        let width = shape.last().copied().unwrap_or(1).max(1);
        return Ok(Some(Conditions::Embeddings { values, width }));
    }
    Ok(None)
}

fn kept_file(part: Part, dir: &Path) -> PathBuf {
    dir.join(format!("{}.h5", part.key()))
}
