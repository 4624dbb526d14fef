//! The output of `train-classifier`: `features.h5`.
//!
//! | dataset | contents |
//! |---|---|
//! | `/features` [n, F] f32 | the penultimate activations of each row, in file order |
//! | `/labels` `[n]` i64 | its class |
//! | `/part` `[n]` i64 | 0 training, 1 held-out, 2 test |
//! | `/items` `[n]` i64 | its index in the data; n is less than N if rows were dropped. Items of separate held-out and test datasets are numbered after those of the training dataset |

use crate::data::{Attribute, OutData, Part, read_dataset_f32, read_dataset_i64, write_datasets};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// The file in an artifact's directory.
const FILE: &str = "features.h5";

/// Features and class of each item.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledFeatures {
    path: PathBuf,
    /// The available items, ascending.
    items: Vec<i64>,
    labels: Vec<i64>,
    parts: Vec<i64>,
    values: Vec<f32>, // [n, F]
    width: usize,
}

/// A row before sorting: item, class, part, features.
pub type Row<'a> = (usize, usize, Part, &'a [f32]);

impl LabelledFeatures {
    /// Sorts `rows` (in any order, `width` features each) by item and writes them into the directory `dir`.
    ///
    /// # Errors
    /// File errors.
    pub fn write(mut rows: Vec<Row>, width: usize, dir: &Path) -> Result<()> {
        rows.sort_unstable_by_key(|row| row.0);
        let items: Vec<i64> = rows.iter().map(|row| row.0 as i64).collect();
        let labels: Vec<i64> = rows.iter().map(|row| row.1 as i64).collect();
        let parts: Vec<i64> = rows.iter().map(|row| row.2 as i64).collect();
        let values: Vec<f32> = rows.iter().flat_map(|row| row.3).copied().collect();
        let count = [rows.len()];
        Ok(write_datasets(
            &dir.join(FILE),
            &[
                ("features", &[rows.len(), width], OutData::F32(&values)),
                ("labels", &count, OutData::I64(&labels)),
                ("part", &count, OutData::I64(&parts)),
                ("items", &count, OutData::I64(&items)),
            ],
            &[
                (
                    "space",
                    Attribute::Text("penultimate activations of the classifier".into()),
                ),
                (
                    "part",
                    Attribute::Text("0 trained on, 1 held out, 2 tested on".into()),
                ),
            ],
        )?)
    }

    /// Reads the output of [`Self::write`] in the directory `dir`.
    ///
    /// # Errors
    /// Input errors if the file is missing or inconsistent.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let (shape, values) = read_dataset_f32(&path, "features")?;
        let (_, labels) = read_dataset_i64(&path, "labels")?;
        let (_, parts) = read_dataset_i64(&path, "part")?;
        let (_, items) = read_dataset_i64(&path, "items")?;
        let lengths = [labels.len(), parts.len(), items.len()];
        let known = |&part: &i64| (0..Part::ALL.len() as i64).contains(&part);
        match shape[..] {
            [n, width]
                if lengths == [n; 3]
                    && labels.iter().all(|&l| l >= 0)
                    && parts.iter().all(known) =>
            {
                Ok(Self {
                    path,
                    items,
                    labels,
                    parts,
                    values,
                    width,
                })
            }
            _ => Err(Error::input(format!(
                "{}: found features {shape:?} with {lengths:?} labels, parts and items, expected \
                 [n, F] with n of each; train the classifier again",
                path.display()
            ))),
        }
    }

    /// Width F of a feature.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All features, row-major [n, F].
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The part of each row in the classifier's training.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        self.parts.iter().map(|&part| Part::ALL[part as usize])
    }

    /// The `items` in the classifier's training part.
    ///
    /// # Errors
    /// As [`Self::labels_of`].
    pub fn trained_on(&self, items: &[i64]) -> Result<Vec<i64>> {
        let mut found = Vec::new();
        for &item in items {
            if self.parts[self.row_of(item)?] == Part::Train as i64 {
                found.push(item);
            }
        }
        Ok(found)
    }

    /// Number of classes K: one more than the largest class.
    pub fn classes(&self) -> usize {
        self.labels
            .iter()
            .max()
            .map_or(0, |&most| most as usize + 1)
    }

    /// The class of each of `items`.
    ///
    /// # Errors
    /// An input error for an unknown item.
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
            (7, 1, Part::Train, &[7.0, 7.5]),
            (2, 0, Part::HeldOut, &[2.0, 2.5]),
            (4, 2, Part::Test, &[4.0, 4.5]),
        ];
        LabelledFeatures::write(rows, 2, dir.path()).unwrap();
        let found = LabelledFeatures::load(dir.path()).unwrap();
        assert_eq!(found.values(), [2.0, 2.5, 4.0, 4.5, 7.0, 7.5]);
        let parts: Vec<Part> = found.parts().collect();
        assert_eq!(parts, [Part::HeldOut, Part::Test, Part::Train]);
        assert_eq!(found.trained_on(&[2, 4, 7]).unwrap(), [7]);
        assert_eq!(found.classes(), 3);
        assert_eq!(found.labels_of(&[7, 2]).unwrap(), [1, 0]);
        assert_eq!(found.features_of(&[4]).unwrap(), [4.0, 4.5]);
        let message = found.labels_of(&[3]).unwrap_err().to_string();
        assert!(message.contains("found no item 3"), "{message}");
    }
}
