//! A picture of the first images among the rows that a command computes.

use super::columns::{Column, numbers, row_bytes};
use crate::autoencoders::{is_picture, write_images_in_columns};
use crate::data::DataShape;
use crate::error::{Error, Result};
use crate::persist::Partial;
use std::path::Path;

/// Images, so many rows of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Rows of images.
    pub rows: usize,
    /// Images in a row.
    pub columns: usize,
}

/// Which numbers of a row are an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Images {
    /// The column that holds it.
    pub(super) column: usize,
    /// Its shape.
    pub(super) shape: DataShape,
    /// The values of black and of white.
    pub(super) range: [f64; 2],
}

impl Images {
    /// That they are images of which a picture can be made, unlike data of the shape `found`.
    ///
    /// # Errors
    /// An input error for others.
    pub(super) fn require(images: Option<Self>, found: &[usize]) -> Result<()> {
        match images {
            Some(images) if is_picture(images.shape) => Ok(()),
            _ => Err(Error::input(format!(
                "--grid: found data of shape {found:?}, expected images of 1 or 3 channels; leave it out"
            ))),
        }
    }

    /// Writes a PNG of the first images of `partial`, whose rows consist of `columns`.
    ///
    /// # Errors
    /// File errors.
    pub(super) fn write(
        self,
        partial: &mut Partial,
        columns: &[Column],
        grid: Grid,
        path: &Path,
    ) -> Result<()> {
        let rows = partial.first(grid.rows.saturating_mul(grid.columns))?;
        let start = row_bytes(&columns[..self.column]);
        let end = row_bytes(&columns[..=self.column]);
        let [low, high] = self.range.map(|value| value as f32);
        let images: Vec<f32> = (rows.chunks_exact(row_bytes(columns)))
            .flat_map(|row| numbers(&row[start..end]))
            .map(|v| (v - low) / (high - low))
            .collect();
        write_images_in_columns(path, &images, self.shape, grid.columns).map(drop)
    }
}
