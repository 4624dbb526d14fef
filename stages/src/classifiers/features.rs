//! The features that `train-classifier` wrote: `features.h5`.
//!
//! | dataset | holds |
//! |---|---|
//! | `/features` [n, F] f32 | the penultimate activations of each row, in file order |
//! | `/labels` `[n]` i64 | its class |
//! | `/held_out` `[n]` i64 | 1 if the classifier did not train on it, otherwise 0 |
//! | `/items` `[n]` i64 | its index in the data; n is less than N where rows were dropped |

use crate::error::{Error, Result};
use crate::features::{Attribute, OutData, read_dataset_f32, read_dataset_i64, write_datasets};
use std::path::{Path, PathBuf};

/// The file in an artifact's directory.
const FILE: &str = "features.h5";

/// Features and class of each item.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledFeatures {
    path: PathBuf,
    /// The items there are, ascending.
    items: Vec<i64>,
    labels: Vec<i64>,
    held_out: Vec<i64>,
    values: Vec<f32>, // [n, F]
    width: usize,
}

/// One row before it has a place: an item, its class, whether it was held out, its features.
pub type Row<'a> = (usize, usize, bool, &'a [f32]);

impl LabelledFeatures {
    /// Puts `rows` (in any order, of `width` features each) in the order of their items and writes
    /// them into the directory `dir`.
    ///
    /// # Errors
    /// File errors.
    pub fn write(mut rows: Vec<Row>, width: usize, dir: &Path) -> Result<()> {
        rows.sort_unstable_by_key(|row| row.0);
        let items: Vec<i64> = rows.iter().map(|row| row.0 as i64).collect();
        let labels: Vec<i64> = rows.iter().map(|row| row.1 as i64).collect();
        let held_out: Vec<i64> = rows.iter().map(|row| i64::from(row.2)).collect();
        let values: Vec<f32> = rows.iter().flat_map(|row| row.3).copied().collect();
        let count = [rows.len()];
        write_datasets(
            &dir.join(FILE),
            &[
                ("features", &[rows.len(), width], OutData::F32(&values)),
                ("labels", &count, OutData::I64(&labels)),
                ("held_out", &count, OutData::I64(&held_out)),
                ("items", &count, OutData::I64(&items)),
            ],
            &[(
                "space",
                Attribute::Text("penultimate activations of the classifier".into()),
            )],
        )
    }

    /// Reads what [`Self::write`] wrote into the directory `dir`.
    ///
    /// # Errors
    /// Input errors for a file that is missing or does not fit together.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let (shape, values) = read_dataset_f32(&path, "features")?;
        let (_, labels) = read_dataset_i64(&path, "labels")?;
        let (_, held_out) = read_dataset_i64(&path, "held_out")?;
        let (_, items) = read_dataset_i64(&path, "items")?;
        let lengths = [labels.len(), held_out.len(), items.len()];
        match shape[..] {
            [n, width] if lengths == [n; 3] && labels.iter().all(|&l| l >= 0) => Ok(Self {
                path,
                items,
                labels,
                held_out,
                values,
                width,
            }),
            _ => Err(Error::input(format!(
                "{}: found features {shape:?} with {lengths:?} labels, held_out and items, expected \
                 [n, F] with n of each; train the classifier again",
                path.display()
            ))),
        }
    }

    /// F.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All features, row-major [n, F].
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// True for each row that the classifier did not train on.
    pub fn held_out(&self) -> impl Iterator<Item = bool> {
        self.held_out.iter().map(|&held_out| held_out != 0)
    }

    /// K: one more than the largest class.
    pub fn classes(&self) -> usize {
        self.labels
            .iter()
            .max()
            .map_or(0, |&most| most as usize + 1)
    }

    /// The class of each of `items`.
    ///
    /// # Errors
    /// An input error for an item that is not there.
    pub fn labels_of(&self, items: &[i64]) -> Result<Vec<usize>> {
        let label = |&item: &i64| Ok(self.labels[self.row_of(item)?] as usize);
        items.iter().map(label).collect()
    }

    /// The features of `items`, row-major [items.len(), F].
    ///
    /// # Errors
    /// As [`Self::labels_of`].
    pub fn features_of(&self, items: &[i64]) -> Result<Vec<f32>> {
        let mut rows = Vec::with_capacity(items.len() * self.width);
        for &item in items {
            let row = self.row_of(item)?;
            rows.extend_from_slice(&self.values[row * self.width..(row + 1) * self.width]);
        }
        Ok(rows)
    }

    fn row_of(&self, item: i64) -> Result<usize> {
        self.items.binary_search(&item).map_err(|_| {
            Error::input(format!(
                "{}: found no item {item}, expected every item that the autoencoder encoded; give \
                 train_classifier.data and train_autoencoder.data the same `non_finite`",
                self.path.display()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_in_file_order_and_found_by_item() {
        let dir = tempfile::tempdir().unwrap();
        let rows: Vec<Row> = vec![
            (7, 1, false, &[7.0, 7.5]),
            (2, 0, true, &[2.0, 2.5]),
            (4, 2, false, &[4.0, 4.5]),
        ];
        LabelledFeatures::write(rows, 2, dir.path()).unwrap();
        let found = LabelledFeatures::load(dir.path()).unwrap();
        assert_eq!(found.values(), [2.0, 2.5, 4.0, 4.5, 7.0, 7.5]);
        assert_eq!(found.held_out().collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(found.classes(), 3);
        assert_eq!(found.labels_of(&[7, 2]).unwrap(), [1, 0]);
        assert_eq!(found.features_of(&[4]).unwrap(), [4.0, 4.5]);
        let message = found.labels_of(&[3]).unwrap_err().to_string();
        assert!(message.contains("found no item 3"), "{message}");
    }
}
