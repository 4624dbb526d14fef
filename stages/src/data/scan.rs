//! What one full pass over the rows found; kept with the artifact.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The figures of one full pass at ingest. Statistics are over the rows that are kept, of all parts
/// of the split; counts of bad values are over everything in the dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    /// BLAKE3 of the dataset's shape and of all its values (as f32, in file order), in hexadecimal:
    /// equal for two stages exactly when they read the same data.
    pub digest: String,
    /// Rows kept.
    pub rows: u64,
    /// Width of a row.
    pub width: usize,
    /// Mean of each column, `[width]`.
    pub mean: Vec<f64>,
    /// Standard deviation of each column (divided by the number of rows), `[width]`.
    pub std: Vec<f64>,
    /// Smallest value of each column, `[width]`.
    pub min: Vec<f64>,
    /// Largest value of each column, `[width]`.
    pub max: Vec<f64>,
    /// NaN values in the dataset.
    pub nan: u64,
    /// Infinite values in the dataset.
    pub infinite: u64,
    /// Row and column of the first value that is not finite.
    pub first_non_finite: Option<(u64, usize)>,
    /// Rows left out because they hold a value that is not finite.
    pub dropped_rows: u64,
    /// Columns with the same value in every row.
    pub constant_columns: Vec<usize>,
    /// Rows kept for training.
    pub train_rows: u64,
    /// Rows held out, for what chooses.
    pub held_out_rows: u64,
    /// Rows of the test part, for figures that are shown.
    #[serde(default)]
    pub test_rows: u64,
    /// Rows (items with all their tokens) that equal an earlier one; none where there are too many
    /// to compare.
    #[serde(default)]
    pub equal_rows: Option<u64>,
    /// Of them those that would have been in another part of the split than the first: they are where
    /// that is, or left out where it is of a part that is given.
    #[serde(default)]
    pub equal_rows_across: Option<u64>,
    /// Columns of the features that lie on a lattice: at most 256 different values, which come again and again, in the
    /// first 4,096 rows.
    #[serde(default)]
    pub lattice_columns: Vec<usize>,
}

impl Scan {
    /// The smallest and the largest value of all columns.
    pub fn range(&self) -> [f64; 2] {
        [
            self.min.iter().copied().fold(f64::INFINITY, f64::min),
            self.max.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        ]
    }

    /// Writes it into the directory `dir`.
    ///
    /// # Errors
    /// File errors.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = file(dir);
        let json = serde_json::to_vec_pretty(self).map_err(|e| Error::file(&path, e))?;
        std::fs::write(&path, json).map_err(|e| Error::file(&path, e))
    }

    /// Reads what [`Self::write`] wrote into `dir`.
    ///
    /// # Errors
    /// File errors.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = file(dir);
        let json = std::fs::read(&path).map_err(|e| Error::file(&path, e))?;
        serde_json::from_slice(&json).map_err(|e| Error::file(&path, e))
    }
}

fn file(dir: &Path) -> PathBuf {
    dir.join("scan.json")
}
