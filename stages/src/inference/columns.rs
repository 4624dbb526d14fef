//! Rows of f32 numbers, stored as partial rows until complete, then as datasets of an HDF5 file.

use crate::data::{Attribute, DatasetWriter, NewDataset};
use crate::error::Result;
use crate::persist::Partial;
use std::path::Path;

/// Consecutive numbers of each row that form a dataset.
pub struct Column {
    /// Name of the dataset.
    pub name: String,
    /// Shape of its items.
    pub shape: Vec<usize>,
    /// Its attributes.
    pub attributes: Vec<(String, Attribute)>,
}

impl Column {
    /// Numbers per row.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// Name and shape with `rows` items, for messages.
    pub fn written(&self, rows: usize) -> String {
        let shape = [&[rows], &self.shape[..]].concat();
        format!("/{} {shape:?} f32", self.name)
    }
}

/// Bytes per row of `columns`.
pub fn row_bytes(columns: &[Column]) -> usize {
    columns.iter().map(Column::width).sum::<usize>() * size_of::<f32>()
}

/// The last column of `rows` made of `columns`.
pub fn last(rows: &[u8], columns: &[Column]) -> Vec<f32> {
    let end = row_bytes(columns);
    let start = end
        - columns
            .last()
            .map_or(0, |last| row_bytes(std::slice::from_ref(last)));
    let rows = rows.chunks_exact(end);
    rows.flat_map(|row| numbers(&row[start..])).collect()
}

/// Writes all rows of `partial`, made of `columns`, to the HDF5 file `path`: one dataset [rows, ...] per
/// column.
///
/// # Errors
/// File errors.
pub fn write(partial: &mut Partial, columns: &[Column], path: &Path) -> Result<()> {
    let shape = |column: &Column| [&[partial.rows()], &column.shape[..]].concat();
    let shapes: Vec<_> = columns.iter().map(shape).collect();
    let datasets: Vec<NewDataset> = (columns.iter().zip(&shapes))
        .map(|(column, shape)| (&*column.name, &shape[..], &column.attributes[..]))
        .collect();
    let mut writer = DatasetWriter::create_all(path, &datasets)?;
    let row = row_bytes(columns);
    let mut values = Vec::new();
    partial.each(|rows| {
        let mut start = 0;
        for (number, column) in columns.iter().enumerate() {
            let end = start + column.width() * size_of::<f32>();
            values.clear();
            for row in rows.chunks_exact(row) {
                values.extend(numbers(&row[start..end]));
            }
            writer.append_to(number, &values)?;
            start = end;
        }
        Ok(())
    })?;
    Ok(writer.commit()?)
}

/// Decodes `bytes` to numbers.
pub fn numbers(bytes: &[u8]) -> impl Iterator<Item = f32> {
    let four = bytes.chunks_exact(size_of::<f32>());
    four.map(|four| f32::from_ne_bytes(four.try_into().expect("four bytes")))
}

/// Concatenates `parts` row by row; each has `count` rows.
pub fn interleave(parts: &[Vec<f32>], count: usize) -> Vec<f32> {
    let mut rows = Vec::with_capacity(parts.iter().map(Vec::len).sum());
    for row in 0..count {
        for part in parts {
            let width = part.len() / count;
            rows.extend_from_slice(&part[row * width..(row + 1) * width]);
        }
    }
    rows
}
