//! A picture of the first images among computed rows.

use super::columns::{Column, numbers, row_bytes};
use crate::autoencoders::{is_picture, write_image_grid, write_images_in_columns};
use crate::data::DataShape;
use crate::error::{Error, Result};
use crate::persist::Partial;
use std::path::Path;

/// A grid of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    pub rows: usize,
    pub columns: usize,
}

/// The part of a row that is an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Images {
    /// The column that contains it.
    pub(super) column: usize,
    /// Its shape.
    pub(super) shape: DataShape,
    /// The values of black and of white.
    pub(super) range: [f64; 2],
}

impl Images {
    /// Checks that rows are images that can be shown; `found` is the shape of the data.
    ///
    /// # Errors
    /// An input error if not.
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

    /// Writes a PNG of the first `count` images of two layers, each above its counterpart; nothing if they are not
    /// images.
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

    /// Maps values to [0, 1] from black to white.
    fn grey(self, mut values: Vec<f32>) -> Vec<f32> {
        let [low, high] = self.range.map(|value| value as f32);
        values
            .iter_mut()
            .for_each(|v| *v = (*v - low) / (high - low));
        values
    }
}
