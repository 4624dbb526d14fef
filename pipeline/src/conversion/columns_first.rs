//! Arrays in Fortran order, column by column, as `np.save` writes a transposed array: read row by row.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};

/// Bytes of the rows in memory.
const BLOCK: usize = 16 << 20;

/// The bytes of an array in C order, from a file with the array in Fortran order.
#[derive(Debug)]
pub struct ColumnsFirst {
    file: File,
    /// Where the numbers start in the file.
    start: u64,
    rows: usize,
    /// Bytes of a number.
    size: usize,
    /// The number of each column of an item in the file.
    order: Vec<usize>,
    next: usize,
    block: Vec<u8>,
    given: usize,
}

impl ColumnsFirst {
    /// Of an array of `shape` with numbers of `size` bytes, which start at `start`.
    pub fn new(file: File, start: u64, shape: &[usize], size: usize) -> Self {
        let item = shape.get(1..).unwrap_or_default();
        let width: usize = item.iter().product();
        let in_file = |column: usize| {
            let (mut rest, mut place, mut stride) = (column, 0, width);
            for &axis in item.iter().rev() {
                stride /= axis;
                place += rest % axis * stride;
                rest /= axis;
            }
            place
        };
        Self {
            file,
            start,
            rows: shape.first().copied().unwrap_or(0),
            size,
            order: (0..width).map(in_file).collect(),
            next: 0,
            block: Vec::new(),
            given: 0,
        }
    }

    /// Reads the next rows.
    fn fill(&mut self) -> std::io::Result<()> {
        let (width, size) = (self.order.len(), self.size);
        let rows = (BLOCK / (width * size).max(1)).clamp(1, self.rows - self.next);
        self.block.resize(rows * width * size, 0);
        let mut column = vec![0; rows * size];
        for (at, place) in self.order.iter().enumerate() {
            let first = (place * self.rows + self.next) * size;
            self.file.seek(SeekFrom::Start(self.start + first as u64))?;
            self.file.read_exact(&mut column)?;
            for (row, number) in column.chunks_exact(size).enumerate() {
                let to = (row * width + at) * size;
                self.block[to..to + size].copy_from_slice(number);
            }
        }
        self.next += rows;
        self.given = 0;
        Ok(())
    }
}

impl Read for ColumnsFirst {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        if self.given == self.block.len() {
            if self.next == self.rows {
                return Ok(0);
            }
            self.fill()?;
        }
        let count = bytes.len().min(self.block.len() - self.given);
        bytes[..count].copy_from_slice(&self.block[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// Fails if axes of an item are exchanged, or blocks of rows overlap.
    #[test]
    fn an_array_of_three_axes_is_read_row_by_row() {
        let [n, a, b] = [5, 2, 3];
        let mut file = tempfile::tempfile().unwrap();
        let value = |i, j, k| (i * a * b + j * b + k) as u8;
        let mut bytes = vec![0xff];
        for k in 0..b {
            for j in 0..a {
                bytes.extend((0..n).map(|i| value(i, j, k)));
            }
        }
        file.write_all(&bytes).unwrap();
        let mut found = Vec::new();
        let mut reader = ColumnsFirst::new(file, 1, &[n, a, b], 1);
        reader.read_to_end(&mut found).unwrap();
        assert_eq!(found, (0..30).collect::<Vec<u8>>());
    }
}
