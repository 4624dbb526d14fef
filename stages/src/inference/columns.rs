//! Rows of f32 numbers, kept until all are there, as datasets of an HDF5 file.

use crate::data::{Attribute, DatasetWriter, NewDataset};
use crate::error::Result;
use crate::persist::Partial;
use std::path::Path;

/// Some numbers of each row, which become a dataset.
pub struct Column {
    /// The dataset.
    pub name: String,
    /// The shape of an item of it.
    pub shape: Vec<usize>,
    /// Its attributes.
    pub attributes: Vec<(String, Attribute)>,
}

impl Column {
    /// Numbers of a row.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// Its name and its shape with `rows` items, for people.
    pub fn written(&self, rows: usize) -> String {
        let shape = [&[rows], &self.shape[..]].concat();
        format!("/{} {shape:?} f32", self.name)
    }
}

/// Bytes of a row that consists of `columns`.
pub fn row_bytes(columns: &[Column]) -> usize {
    columns.iter().map(Column::width).sum::<usize>() * size_of::<f32>()
}

/// The numbers of the last column in `rows`, each of which consists of `columns`.
pub fn last(rows: &[u8], columns: &[Column]) -> Vec<f32> {
    let end = row_bytes(columns);
    let start = end
        - columns
            .last()
            .map_or(0, |last| row_bytes(std::slice::from_ref(last)));
    let rows = rows.chunks_exact(end);
    rows.flat_map(|row| numbers(&row[start..])).collect()
}

/// Writes all rows of `partial`, each of which consists of `columns`, to the HDF5 file `path`: a dataset
/// [rows, ...] a column.
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
    writer.commit()
}

/// The numbers whose bytes are `bytes`.
pub fn numbers(bytes: &[u8]) -> impl Iterator<Item = f32> {
    let four = bytes.chunks_exact(size_of::<f32>());
    four.map(|four| f32::from_ne_bytes(four.try_into().expect("four bytes")))
}

/// Rows that consist of a part of each of `parts`, all of `count` rows.
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
