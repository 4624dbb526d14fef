//! A block of a product: its operands packed, and passed to the innermost loops.

use super::epilogue::Epilogue;
use super::kernel::{Kernel, Strided};
use super::matrix::Matrix;
use crate::shared::Shared;
use std::mem::MaybeUninit;

/// Length of the sums that are taken at once.
const DEPTH: usize = 512;

/// Packed parts of the operands.
pub(super) struct Scratch {
    pub(super) a: Vec<f32>,
    pub(super) b: Vec<f32>,
}

/// One task: the entries `rows` x `columns` of the product.
pub(super) struct Block<'a> {
    pub(super) a: Matrix<'a>,
    pub(super) b: Matrix<'a>,
    pub(super) rows: std::ops::Range<usize>,
    pub(super) columns: std::ops::Range<usize>,
    pub(super) out: Shared<'a, MaybeUninit<f32>>,
}

impl Block<'_> {
    /// Computes the block. Must be inlined into a function with the instructions of `K`.
    ///
    /// # Safety
    /// The processor must have them.
    #[inline(always)]
    pub(super) unsafe fn compute<K: Kernel, E: Epilogue>(
        self,
        epilogue: &E,
        scratch: &mut Scratch,
    ) {
        let depth = self.a.columns;
        let width = self.b.columns;
        let mut edge = [0.0f32; 1024];
        assert!(K::ROWS * K::COLUMNS <= edge.len());
        for start in (0..depth).step_by(DEPTH) {
            let length = DEPTH.min(depth - start);
            // SAFETY: all of `start..start + length` and the rows are inside a.
            let a = unsafe { self.rows_of_a::<K>(start, length, &mut scratch.a) };
            for column in self.columns.clone().step_by(K::COLUMNS) {
                let columns = K::COLUMNS.min(self.columns.end - column);
                // SAFETY: as above, inside b.
                unsafe { self.pack_b::<K>(start, length, column, columns, &mut scratch.b) };
                let packed = scratch.b.as_ptr();
                for row in self.rows.clone().step_by(K::ROWS) {
                    let rows = K::ROWS.min(self.rows.end - row);
                    let out = self.out.block(row * width + column, rows, width, columns);
                    let out = out.cast::<f32>();
                    let a = a.at_row(row - self.rows.start, K::ROWS);
                    if columns == K::COLUMNS {
                        // SAFETY: `rows` rows of `columns` entries are there, only this task touches them,
                        // and they are added to once they were written.
                        unsafe { K::product(rows, length, a, packed, out, width, start > 0) };
                    } else {
                        let to = edge.as_mut_ptr();
                        // SAFETY: the edge has room for a whole block.
                        unsafe { K::product(rows, length, a, packed, to, K::COLUMNS, false) };
                        for i in 0..rows {
                            let from = &edge[i * K::COLUMNS..][..columns];
                            for (j, from) in from.iter().enumerate() {
                                // SAFETY: as above.
                                unsafe {
                                    let to = out.add(i * width + j);
                                    *to = if start > 0 { *to + from } else { *from };
                                }
                            }
                        }
                    }
                }
                if start + length == depth {
                    for row in self.rows.clone() {
                        // SAFETY: only this task touches these entries, and it has written them.
                        let values = unsafe {
                            (self.out.part(row * width + column, columns)).assume_init_mut()
                        };
                        epilogue.finish(row, column, values);
                    }
                }
            }
        }
    }

    /// The rows of this block, columns `start..start + length` of a. A transposed a is packed, since
    /// its entries are far apart; rows that are contiguous are read where they are.
    #[inline(always)]
    unsafe fn rows_of_a<K: Kernel>(
        &self,
        start: usize,
        length: usize,
        packed: &mut Vec<f32>,
    ) -> RowsOfA {
        let values = self.a.values.as_ptr();
        if self.a.row_stride != 1 || self.a.column_stride == 1 {
            let offset = self.rows.start * self.a.row_stride + start * self.a.column_stride;
            return RowsOfA {
                // SAFETY: inside a.
                start: unsafe { values.add(offset) },
                row_stride: self.a.row_stride,
                column_stride: self.a.column_stride,
                group: None,
            };
        }
        let groups = self.rows.len().div_ceil(K::ROWS);
        packed.resize(groups * K::ROWS * DEPTH, 0.0);
        for group in 0..groups {
            let first = self.rows.start + group * K::ROWS;
            let rows = K::ROWS.min(self.rows.end - first);
            let into = packed[group * K::ROWS * length..].as_mut_ptr();
            for p in 0..length {
                // SAFETY: rows first..first + rows of column start + p are inside a.
                unsafe {
                    let from = values.add((start + p) * self.a.column_stride + first);
                    let into = into.add(p * K::ROWS);
                    if rows == K::ROWS {
                        std::ptr::copy_nonoverlapping(from, into, K::ROWS);
                    } else {
                        std::ptr::copy_nonoverlapping(from, into, rows);
                    }
                }
            }
        }
        RowsOfA {
            start: packed.as_ptr(),
            row_stride: 1,
            column_stride: K::ROWS,
            group: Some(K::ROWS * length),
        }
    }

    /// Packs rows `start..start + length`, `columns` columns of b from `column` on, filled up with
    /// zeros.
    #[inline(always)]
    unsafe fn pack_b<K: Kernel>(
        &self,
        start: usize,
        length: usize,
        column: usize,
        columns: usize,
        packed: &mut Vec<f32>,
    ) {
        packed.resize(DEPTH * K::COLUMNS, 0.0);
        let offset = start * self.b.row_stride + column * self.b.column_stride;
        // SAFETY: inside b.
        let from = unsafe { self.b.values.as_ptr().add(offset) };
        let into = packed.as_mut_ptr();
        if columns == K::COLUMNS && self.b.column_stride == 1 {
            for p in 0..length {
                // SAFETY: a whole row of the panel.
                unsafe {
                    let from = from.add(p * self.b.row_stride);
                    std::ptr::copy_nonoverlapping(from, into.add(p * K::COLUMNS), K::COLUMNS);
                }
            }
        } else if columns == K::COLUMNS && self.b.row_stride == 1 {
            // SAFETY: `length` entries of COLUMNS rows of what b is the transpose of.
            unsafe { K::pack_transposed(from, self.b.column_stride, length, into) };
        } else {
            packed[..length * K::COLUMNS].fill(0.0);
            for p in 0..length {
                for j in 0..columns {
                    let at = p * self.b.row_stride + j * self.b.column_stride;
                    // SAFETY: inside b.
                    packed[p * K::COLUMNS + j] = unsafe { *from.add(at) };
                }
            }
        }
    }
}

/// The rows of a block, in place or packed in groups.
#[derive(Clone, Copy)]
struct RowsOfA {
    start: *const f32,
    row_stride: usize,
    column_stride: usize,
    /// Entries of a packed group of rows.
    group: Option<usize>,
}

impl RowsOfA {
    /// From `row` (a multiple of `rows`) on.
    #[inline(always)]
    fn at_row(self, row: usize, rows: usize) -> Strided {
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
