//! Computes a block of a product: packs its operands and calls the innermost loops.

use super::epilogue::Epilogue;
use super::kernel::Kernel;
use super::left::Left;
use super::place::{Place, each};
use super::right::Right;
use crate::shared::Shared;
use std::mem::MaybeUninit;

/// Maximum length of a sum computed in one go.
const DEPTH: usize = 512;

/// Up to this many blocks of rows read the right operand where it is.
const FEW: usize = 2;

/// Buffers for packed operands.
pub(super) struct Scratch {
    pub(super) a: Vec<f32>,
    pub(super) b: Vec<f32>,
}

/// One task: the entries `rows` x `columns` of the product, summed over `depth`.
pub(super) struct Block<'a, L, R, P> {
    pub(super) a: L,
    pub(super) b: R,
    pub(super) rows: std::ops::Range<usize>,
    pub(super) columns: std::ops::Range<usize>,
    pub(super) depth: std::ops::Range<usize>,
    pub(super) out: Shared<'a, MaybeUninit<f32>>,
    /// Where the product begins in `out`.
    pub(super) offset: usize,
    /// Position of the product's rows in `out`.
    pub(super) place: P,
}

impl<L: Left, R: Right, P: Place> Block<'_, L, R, P> {
    /// Computes the block. Must be inlined into a function compiled with the instructions of `K`.
    ///
    /// # Safety
    /// The processor must have these instructions.
    #[inline(always)]
    pub(super) unsafe fn compute<K: Kernel, E: Epilogue>(
        self,
        epilogue: &E,
        scratch: &mut Scratch,
    ) {
        let width = self.b.columns();
        let mut edge = [0.0f32; 1024];
        assert!(K::ROWS * K::COLUMNS <= edge.len());
        for start in self.depth.clone().step_by(DEPTH) {
            let length = DEPTH.min(self.depth.end - start);
            let add = start > self.depth.start;
            // SAFETY: all of `start..start + length` and the rows are inside a.
            let a = unsafe { (self.a).part::<K>(self.rows.clone(), start, length, &mut scratch.a) };
            for column in self.columns.clone().step_by(K::COLUMNS) {
                let columns = K::COLUMNS.min(self.columns.end - column);
                // packing pays where many rows of a pass by
                let few = self.rows.len() <= FEW * K::ROWS && columns == K::COLUMNS;
                let in_place = few.then(|| self.b.in_place(start, column)).flatten();
                let (b, b_stride) = match in_place {
                    Some(at) => at,
                    None => {
                        scratch.b.resize(DEPTH * K::COLUMNS, 0.0);
                        // SAFETY: as above, inside b.
                        unsafe {
                            (self.b).panel::<K>(start, length, column, columns, &mut scratch.b)
                        };
                        (scratch.b.as_ptr(), K::COLUMNS)
                    }
                };
                for row in self.rows.clone().step_by(K::ROWS) {
                    let rows = K::ROWS.min(self.rows.end - row);
                    let a = a.at_row(row - self.rows.start, K::ROWS);
                    let run = self.place.run(row);
                    if columns == K::COLUMNS && run.rows >= rows {
                        let at = self.offset + run.first * width + column;
                        let stride = run.step * width;
                        let out = self.out.block(at, rows, stride, columns);
                        let out = out.cast::<f32>();
                        // SAFETY: there are `rows` rows of `columns` entries, only this task accesses
                        // them, and they are added to only after they were written.
                        unsafe { K::product(rows, length, a, b, b_stride, out, stride, add) };
                    } else {
                        let to = edge.as_mut_ptr();
                        // SAFETY: the edge buffer has room for a whole block.
                        unsafe { K::product(rows, length, a, b, b_stride, to, K::COLUMNS, false) };
                        each(self.place, row..row + rows, |i, place| {
                            let from = &edge[(i - row) * K::COLUMNS..][..columns];
                            let at = self.offset + place * width + column;
                            let out = self.out.block(at, 1, 0, columns).cast::<f32>();
                            for (j, from) in from.iter().enumerate() {
                                // SAFETY: as above.
                                unsafe {
                                    let to = out.add(j);
                                    *to = if add { *to + from } else { *from };
                                }
                            }
                        });
                    }
                }
                if start + length == self.depth.end {
                    each(self.place, self.rows.clone(), |_, place| {
                        // SAFETY: only this task accesses these entries, and it has written them.
                        let values = unsafe {
                            let at = self.offset + place * width + column;
                            self.out.part(at, columns).assume_init_mut()
                        };
                        epilogue.finish(place, column, values);
                    });
                }
            }
        }
    }
}
