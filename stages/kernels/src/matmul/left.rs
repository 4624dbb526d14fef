//! The left operand of a product, read in place or packed.

use super::kernel::{Kernel, Strided};
use super::matrix::Matrix;
use super::number::Number;
use std::ops::Range;

/// A matrix [rows, columns] that need not be stored as such.
pub(crate) trait Left<T: Number = f32>: Copy + Sync {
    fn rows(&self) -> usize;

    fn columns(&self) -> usize;

    /// Returns `rows`, columns `start..start + length`; `packed` is a buffer for a copy.
    ///
    /// # Safety
    /// Rows and columns must be in bounds, and the processor must have the instructions of `K`. The result
    /// is valid while the matrix lives and `packed` is unchanged.
    unsafe fn part<K: Kernel<T>>(
        &self,
        rows: Range<usize>,
        start: usize,
        length: usize,
        packed: &mut Vec<T>,
    ) -> Part<T>;
}

/// Bytes between rows from which on they are copied next to each other: rows a power of two apart would share few
/// lines of the cache.
const APART: usize = 2048;
/// Bytes between the copies beyond their length.
const PADDING: usize = 64;

impl<T: Number> Left<T> for Matrix<'_, T> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    /// A transposed matrix is packed, since its entries are far apart; rows are read in place if they are near each
    /// other.
    #[inline(always)]
    unsafe fn part<K: Kernel<T>>(
        &self,
        rows: Range<usize>,
        start: usize,
        length: usize,
        packed: &mut Vec<T>,
    ) -> Part<T> {
        let values = self.values.as_ptr();
        let size = size_of::<T>();
        if self.column_stride == 1 && rows.len() > K::ROWS && self.row_stride * size >= APART {
            let row_stride = length + PADDING / size;
            packed.resize(packed.len().max(rows.len() * row_stride), T::default());
            for (row, into) in rows.zip(packed.chunks_exact_mut(row_stride)) {
                let from = &self.values[row * self.row_stride + start..][..length];
                into[..length].copy_from_slice(from);
            }
            return Part {
                start: packed.as_ptr(),
                row_stride,
                column_stride: 1,
                group: None,
            };
        }
        if self.row_stride != 1 || self.column_stride == 1 {
            let offset = rows.start * self.row_stride + start * self.column_stride;
            return Part {
                // SAFETY: in bounds.
                start: unsafe { values.add(offset) },
                row_stride: self.row_stride,
                column_stride: self.column_stride,
                group: None,
            };
        }
        let room = rows.len().next_multiple_of(K::ROWS) * length;
        packed.resize(packed.len().max(room), T::default());
        // SAFETY: the columns are rows of the untransposed matrix.
        unsafe {
            let from = values.add(start * self.column_stride + rows.start);
            let into = packed.as_mut_ptr();
            pack_columns::<T, K>(from, self.column_stride, rows.len(), length, into)
        }
    }
}

/// Packs the transpose of `from`, which has `length` rows of `rows` elements at distance `stride`, in
/// groups of as many rows as the kernel takes at once.
///
/// # Safety
/// `from` must have that many elements, and `into` room for them, with the last group padded.
#[inline(always)]
pub(crate) unsafe fn pack_columns<T: Number, K: Kernel<T>>(
    from: *const T,
    stride: usize,
    rows: usize,
    length: usize,
    into: *mut T,
) -> Part<T> {
    for first in (0..rows).step_by(K::ROWS) {
        let count = K::ROWS.min(rows - first);
        for p in 0..length {
            // SAFETY: required of the caller.
            unsafe {
                let from = from.add(p * stride + first);
                let into = into.add(first * length + p * K::ROWS);
                if count == K::ROWS {
                    std::ptr::copy_nonoverlapping(from, into, K::ROWS);
                } else {
                    std::ptr::copy_nonoverlapping(from, into, count);
                }
            }
        }
    }
    Part {
        start: into,
        row_stride: 1,
        column_stride: K::ROWS,
        group: Some(K::ROWS * length),
    }
}

/// A part of the left operand, in place or packed in groups of rows.
#[derive(Clone, Copy)]
pub(crate) struct Part<T = f32> {
    pub(crate) start: *const T,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
    /// Elements per packed group of rows.
    pub(crate) group: Option<usize>,
}

impl<T> Part<T> {
    /// The part from `row` (a multiple of `rows`) on.
    #[inline(always)]
    pub(super) fn at_row(self, row: usize, rows: usize) -> Strided<T> {
        let offset = match self.group {
            Some(entries) => row / rows * entries,
            None => row * self.row_stride,
        };
        Strided {
            start: self.start.wrapping_add(offset),
            row_stride: self.row_stride,
            column_stride: self.column_stride,
        }
    }
}
