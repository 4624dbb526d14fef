//! A picture of the first images among the rows that a command computes.

use super::columns::{Column, numbers, row_bytes};
use crate::autoencoders::{is_picture, write_image_grid, write_images_in_columns};
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
        let images = (rows.chunks_exact(row_bytes(columns)))
            .flat_map(|row| numbers(&row[start..end]))
            .collect();
        let images = self.grey(images);
        write_images_in_columns(path, &images, self.shape, grid.columns).map(drop)
    }

    /// Writes a PNG of the first `count` images of two layers, each above its own in the other; nothing where they are no
    /// pictures.
    ///
    /// # Errors
    /// File errors.
    pub(super) fn write_pairs(self, layers: [&[f32]; 2], count: usize, path: &Path) -> Result<()> {
        let size = self.shape.elements();
        let [above, below] = layers.map(|rows| {
            let shown = rows.len().min(count * size);
            self.grey(rows[..shown].to_vec())
        });
        write_image_grid(path, &above, &below, self.shape).map(drop)
    }

    /// Values as shares of the way from black to white.
    fn grey(self, mut values: Vec<f32>) -> Vec<f32> {
        let [low, high] = self.range.map(|value| value as f32);
        values
            .iter_mut()
            .for_each(|v| *v = (*v - low) / (high - low));
        values
    }
}
