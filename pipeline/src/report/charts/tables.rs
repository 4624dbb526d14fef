//! The tables of artifacts as columns of numbers.

use anyhow::{Context as _, Result, bail};
use latent_align_stages::figures::estimate_nll::COORDINATE;
use latent_align_stages::figures::filled;
use polars::prelude::{DataFrame, DataType, ParquetReader, SerReader as _};
use std::fs::File;
use std::path::Path;

/// The file of the table `name`.
pub fn parquet(name: &str) -> String {
    format!("{name}.parquet")
}

/// The column of a coordinate, counted from 0.
pub fn axis(number: usize) -> String {
    filled(COORDINATE, &[&number])
}

/// A table.
pub struct Table {
    frame: DataFrame,
}

impl Table {
    /// Reads `file`.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn read(file: &Path) -> Result<Self> {
        let read = || -> Result<DataFrame> { Ok(ParquetReader::new(File::open(file)?).finish()?) };
        let frame = read().with_context(|| format!("reading {}", file.display()))?;
        Ok(Self { frame })
    }

    /// Whether it has a column `name`.
    pub fn has(&self, name: &str) -> bool {
        self.names().any(|n| n == name)
    }

    /// The names of its columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.frame.columns().iter().map(|c| c.name().as_str())
    }

    /// A column of numbers, NaN for missing values.
    ///
    /// # Errors
    /// There is no such column, or it is not numeric.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        let values = self.numbers_or_none(name)?.into_iter();
        Ok(values.map(|v| v.unwrap_or(f64::NAN)).collect())
    }

    /// A column of numbers with missing values.
    ///
    /// # Errors
    /// As [`Self::numbers`].
    pub fn numbers_or_none(&self, name: &str) -> Result<Vec<Option<f64>>> {
        let column = self.frame.column(name)?;
        if !column.dtype().is_primitive_numeric() {
            bail!("`{name}` is {}, expected numbers", column.dtype());
        }
        let column = column.cast(&DataType::Float64)?;
        Ok(column.f64()?.iter().collect())
    }

    /// A column of text.
    ///
    /// # Errors
    /// There is no such column, or it is not text.
    pub fn texts(&self, name: &str) -> Result<Vec<String>> {
        let column = self.frame.column(name)?.str()?;
        Ok(column.iter().map(|v| v.unwrap_or("").to_owned()).collect())
    }

    /// Two columns as points.
    ///
    /// # Errors
    /// As [`Self::numbers`].
    pub fn pairs(&self, x: &str, y: &str) -> Result<Vec<(f64, f64)>> {
        Ok(self.numbers(x)?.into_iter().zip(self.numbers(y)?).collect())
    }

    /// Whether its points are two-dimensional.
    pub fn is_plane(&self) -> bool {
        self.has(&axis(0)) && self.has(&axis(1)) && !self.has(&axis(2))
    }
}
