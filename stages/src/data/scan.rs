//! Results of a full pass over the rows, stored with the artifact.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Results of the full pass. Statistics are over the rows that are kept, in all parts of the split; counts of bad
/// values are over the whole dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    /// BLAKE3 of the dataset's shape and of all its values (as f32, in file order), in hexadecimal: equal for two
    /// stages exactly if they read the same data.
    pub digest: String,
    /// Number of rows kept.
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
    /// Number of NaN values.
    pub nan: u64,
    /// Number of infinite values.
    pub infinite: u64,
    /// Row and column of the first value that is not finite.
    pub first_non_finite: Option<(u64, usize)>,
    /// Rows left out because of a value that is not finite.
    pub dropped_rows: u64,
    /// Columns with the same value in every row.
    pub constant_columns: Vec<usize>,
    /// Number of training rows.
    pub train_rows: u64,
    /// Number of held-out rows.
    pub held_out_rows: u64,
    /// Number of test rows.
    #[serde(default)]
    pub test_rows: u64,
    /// Number of rows (items with all their tokens) that equal an earlier one; None if there are too many to
    /// compare.
    #[serde(default)]
    pub equal_rows: Option<u64>,
    /// Those among them that were drawn for another part than the first: they moved to the first's part, or were
    /// left out if that part is given.
    #[serde(default)]
    pub equal_rows_across: Option<u64>,
    /// Columns on a lattice: at most 256 distinct values that repeat in the first 4,096 rows.
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

    /// Writes the results into the directory `dir`.
    ///
    /// # Errors
    /// File errors.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = file(dir);
        let json = serde_json::to_vec_pretty(self).map_err(|e| Error::file(&path, e))?;
        std::fs::write(&path, json).map_err(|e| Error::file(&path, e))
    }

    /// Reads the output of [`Self::write`] in `dir`.
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
