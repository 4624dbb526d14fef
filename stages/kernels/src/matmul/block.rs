//! A block of a product: its operands packed, and passed to the innermost loops.

use super::epilogue::Epilogue;
use super::kernel::Kernel;
use super::left::Left;
use super::matrix::Matrix;
use super::place::{Place, each};
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
pub(super) struct Block<'a, L, P> {
    pub(super) a: L,
    pub(super) b: Matrix<'a>,
    pub(super) rows: std::ops::Range<usize>,
    pub(super) columns: std::ops::Range<usize>,
    pub(super) out: Shared<'a, MaybeUninit<f32>>,
    /// Where rows of the product go in `out`.
    pub(super) place: P,
}

impl<L: Left, P: Place> Block<'_, L, P> {
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
        let depth = self.a.columns();
        let width = self.b.columns;
        let mut edge = [0.0f32; 1024];
        assert!(K::ROWS * K::COLUMNS <= edge.len());
        for start in (0..depth).step_by(DEPTH) {
            let length = DEPTH.min(depth - start);
            // SAFETY: all of `start..start + length` and the rows are inside a.
            let a = unsafe { (self.a).part::<K>(self.rows.clone(), start, length, &mut scratch.a) };
            for column in self.columns.clone().step_by(K::COLUMNS) {
                let columns = K::COLUMNS.min(self.columns.end - column);
                // SAFETY: as above, inside b.
                unsafe { self.pack_b::<K>(start, length, column, columns, &mut scratch.b) };
                let packed = scratch.b.as_ptr();
                for row in self.rows.clone().step_by(K::ROWS) {
                    let rows = K::ROWS.min(self.rows.end - row);
                    let a = a.at_row(row - self.rows.start, K::ROWS);
                    let run = self.place.run(row);
                    if columns == K::COLUMNS && run.rows >= rows {
                        let (start_of_out, stride) = (run.first * width + column, run.step * width);
                        let out = self.out.block(start_of_out, rows, stride, columns);
                        let out = out.cast::<f32>();
                        // SAFETY: `rows` rows of `columns` entries are there, only this task touches them,
                        // and they are added to once they were written.
                        unsafe { K::product(rows, length, a, packed, out, stride, start > 0) };
                    } else {
                        let to = edge.as_mut_ptr();
                        // SAFETY: the edge has room for a whole block.
                        unsafe { K::product(rows, length, a, packed, to, K::COLUMNS, false) };
                        each(self.place, row..row + rows, |i, place| {
                            let from = &edge[(i - row) * K::COLUMNS..][..columns];
                            let place = place * width + column;
                            let out = self.out.block(place, 1, 0, columns).cast::<f32>();
                            for (j, from) in from.iter().enumerate() {
                                // SAFETY: as above.
                                unsafe {
                                    let to = out.add(j);
                                    *to = if start > 0 { *to + from } else { *from };
                                }
                            }
                        });
                    }
                }
                if start + length == depth {
                    each(self.place, self.rows.clone(), |_, place| {
                        // SAFETY: only this task touches these entries, and it has written them.
                        let values = unsafe {
                            (self.out.part(place * width + column, columns)).assume_init_mut()
                        };
                        epilogue.finish(place, column, values);
                    });
                }
            }
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
