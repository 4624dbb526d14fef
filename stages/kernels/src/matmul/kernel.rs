//! The innermost loops, as each instruction set implements them.

use super::number::Number;

/// Layout of rows of a: entry (i, p) is at `start + i row_stride + p column_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Strided<T> {
    pub(crate) start: *const T,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

/// Work done by the innermost loops.
pub(crate) trait OnKernel<T: Number = f32> {
    /// Must be inlined into a function compiled with the instructions of `K`.
    ///
    /// # Safety
    /// The processor must have these instructions.
    unsafe fn run<K: Kernel<T>>(self);
}

/// What becomes of the entries where a product goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onto {
    /// They are overwritten.
    Replace,
    /// The product is added to them.
    Add,
    /// The product is subtracted from them.
    Subtract,
}

impl Onto {
    /// Writes `sum` to `out`.
    ///
    /// # Safety
    /// The pointer must be valid.
    #[inline(always)]
    pub(super) unsafe fn write<T: Number>(self, out: *mut T, sum: T) {
        // SAFETY: required of the caller.
        unsafe {
            *out = match self {
                Self::Replace => sum,
                Self::Add => *out + sum,
                Self::Subtract => *out - sum,
            };
        }
    }
}

/// The innermost loops for one set of instructions.
pub(crate) trait Kernel<T: Number = f32> {
    /// Rows and columns of the product that are held in registers.
    const ROWS: usize;
    const COLUMNS: usize;

    /// `out[i, j] = sum_p a[i, p] b[p, j]`, or as `onto` says, for `rows` <= ROWS rows and all COLUMNS columns; rows of b are
    /// `b_stride` apart, those of out `out_stride`. `out` is not read if it is replaced.
    ///
    /// # Safety
    /// The pointers must be valid for these accesses, and the processor must have the instructions.
    unsafe fn product(
        rows: usize,
        depth: usize,
        a: Strided<T>,
        b: *const T,
        b_stride: usize,
        out: *mut T,
        out_stride: usize,
        onto: Onto,
    );

    /// Packs `depth` x COLUMNS entries of a transposed b: entry (p, j) is read from
    /// `from[j * stride + p]`.
    ///
    /// # Safety
    /// As [`Self::product`].
    #[inline(always)]
    unsafe fn pack_transposed(from: *const T, stride: usize, depth: usize, into: *mut T) {
        for p in 0..depth {
            for j in 0..Self::COLUMNS {
                // SAFETY: required of the caller.
                unsafe { *into.add(p * Self::COLUMNS + j) = *from.add(j * stride + p) };
            }
        }
    }
}
