//! Computes a block of a product: packs its operands and calls the innermost loops.

use super::epilogue::Epilogue;
use super::kernel::{Kernel, OnKernel, Onto};
use super::left::Left;
use super::number::Number;
use super::place::{InOrder, Place, each};
use super::right::Right;
use super::scratch::Scratch;
use crate::shared::Shared;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Up to this many blocks of rows read the right operand where it is.
const FEW: usize = 2;

/// Where a product goes. Nothing else may access these rows meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a, T: Copy, P> {
    pub(crate) out: Shared<'a, MaybeUninit<T>>,
    /// Position of the product's rows in `out`.
    pub(crate) place: P,
    /// Distance between rows of `out`.
    pub(crate) stride: usize,
    /// What is not replaced must be initialised.
    pub(crate) onto: Onto,
    /// Whether panels left of the diagonal are left out.
    pub(crate) upper: bool,
}

impl<'a, T: Copy> Target<'a, T, InOrder> {
    /// Initialised rows at distance `stride`, which are overwritten.
    pub(crate) fn over(out: &'a mut [T], stride: usize) -> Self {
        let (start, count) = (out.as_mut_ptr().cast(), out.len());
        // SAFETY: the same memory. Products write initialised numbers only.
        let out = unsafe { std::slice::from_raw_parts_mut(start, count) };
        Self::new(Shared::new(out), InOrder, stride)
    }
}

impl<'a, T: Copy, P> Target<'a, T, P> {
    /// Rows at distance `stride` of `out`, which is overwritten.
    pub(crate) fn new(out: Shared<'a, MaybeUninit<T>>, place: P, stride: usize) -> Self {
        Self {
            out,
            place,
            stride,
            onto: Onto::Replace,
            upper: false,
        }
    }
}

/// One task: the entries `rows` x `columns` of the product, summed over `depth`.
pub(super) struct Block<'a, T: Copy, L, R, P> {
    pub(super) a: L,
    pub(super) b: R,
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
    pub(super) depth: Range<usize>,
    pub(super) target: Target<'a, T, P>,
    /// Where the product begins in the target.
    pub(super) offset: usize,
}

/// A block, and what happens to its entries once they are finished.
pub(super) struct Finished<'a, T: Copy, L, R, P, E> {
    pub(super) block: Block<'a, T, L, R, P>,
    pub(super) epilogue: &'a E,
    pub(super) scratch: &'a mut Scratch<T>,
}

impl<T: Number, L: Left<T>, R: Right<T>, P: Place, E: Epilogue<T>> OnKernel<T>
    for Finished<'_, T, L, R, P, E>
{
    #[inline(always)]
    unsafe fn run<K: Kernel<T>>(self) {
        // SAFETY: required of the caller.
        unsafe { self.block.compute::<K, E>(self.epilogue, self.scratch) }
    }
}

impl<T: Number, L: Left<T>, R: Right<T>, P: Place> Block<'_, T, L, R, P> {
    /// Computes the block. Must be inlined into a function compiled with the instructions of `K`.
    ///
    /// # Safety
    /// The processor must have these instructions.
    #[inline(always)]
    pub(super) unsafe fn compute<K: Kernel<T>, E: Epilogue<T>>(
        self,
        epilogue: &E,
        scratch: &mut Scratch<T>,
    ) {
        let Target {
            out,
            place,
            stride: width,
            ..
        } = self.target;
        let mut edge = [T::default(); 1024];
        assert!(K::ROWS * K::COLUMNS <= edge.len());
        for start in self.depth.clone().step_by(T::DEPTH) {
            let length = T::DEPTH.min(self.depth.end - start);
            let onto = match self.target.onto {
                Onto::Replace if start > self.depth.start => Onto::Add,
                onto => onto,
            };
            // SAFETY: all of `start..start + length` and the rows are inside a.
            let a = unsafe { (self.a).part::<K>(self.rows.clone(), start, length, &mut scratch.a) };
            for column in self.columns.clone().step_by(K::COLUMNS) {
                let columns = K::COLUMNS.min(self.columns.end - column);
                let rows = match self.target.upper {
                    true => self.rows.start..self.rows.end.min(column + columns),
                    false => self.rows.clone(),
                };
                if rows.is_empty() {
                    continue;
                }
                // packing pays where many rows of a pass by
                let few = rows.len() <= FEW * K::ROWS && columns == K::COLUMNS;
                let (b, b_stride) = match self.b.in_place::<K>(start, column, few) {
                    Some(at) => at,
                    None => {
                        scratch.b.resize(T::DEPTH * K::COLUMNS, T::default());
                        // SAFETY: as above, inside b.
                        unsafe {
                            (self.b).panel::<K>(start, length, column, columns, &mut scratch.b)
                        };
                        (scratch.b.as_ptr(), K::COLUMNS)
                    }
                };
                for row in rows.clone().step_by(K::ROWS) {
                    let rows = K::ROWS.min(rows.end - row);
                    let a = a.at_row(row - self.rows.start, K::ROWS);
                    let run = place.run(row);
                    if columns == K::COLUMNS && run.rows >= rows {
                        let at = self.offset + run.first * width + column;
                        let stride = run.step * width;
                        let out = out.block(at, rows, stride, columns).cast::<T>();
                        // SAFETY: there are `rows` rows of `columns` entries, only this task accesses
                        // them, and they are added to only after they were written.
                        unsafe { K::product(rows, length, a, b, b_stride, out, stride, onto) };
                    } else {
                        let to = edge.as_mut_ptr();
                        // SAFETY: the edge buffer has room for a whole block.
                        unsafe {
                            K::product(rows, length, a, b, b_stride, to, K::COLUMNS, Onto::Replace)
                        };
                        each(place, row..row + rows, |i, place| {
                            let from = &edge[(i - row) * K::COLUMNS..][..columns];
                            let at = self.offset + place * width + column;
                            let out = out.block(at, 1, 0, columns).cast::<T>();
                            for (j, from) in from.iter().enumerate() {
                                // SAFETY: as above.
                                unsafe { onto.write(out.add(j), *from) };
                            }
                        });
                    }
                }
            }
        }
        // whole rows at once: vectors of neighbouring panels overlap in long computations
        for row in self.rows.clone() {
            // from the panel with the diagonal on
            let before = match self.target.upper {
                true => row.saturating_sub(self.columns.start) / K::COLUMNS * K::COLUMNS,
                false => 0,
            };
            let first = (self.columns.start + before).min(self.columns.end);
            self.finish(epilogue, row..row + 1, first..self.columns.end);
        }
    }

    /// Finishes entries that are complete.
    #[inline(always)]
    fn finish<E: Epilogue<T>>(&self, epilogue: &E, rows: Range<usize>, columns: Range<usize>) {
        let target = &self.target;
        each(target.place, rows, |_, place| {
            // SAFETY: only this task accesses these entries, and it has written them.
            let values = unsafe {
                let at = self.offset + place * target.stride + columns.start;
                target.out.part(at, columns.len()).assume_init_mut()
            };
            epilogue.finish(place, columns.start, values);
        });
    }
}
