//! The innermost loops, as each instruction set implements them.

/// Layout of rows of a: entry (i, p) is at `start + i row_stride + p column_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Strided {
    pub(super) start: *const f32,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

/// The innermost loops for one set of instructions.
pub(crate) trait Kernel {
    /// Rows and columns of the product that are held in registers.
    const ROWS: usize;
    const COLUMNS: usize;

    /// `out[i, j] (+)= sum_p a[i, p] b[p, j]` for `rows` <= ROWS rows and all COLUMNS columns; rows of b are
    /// `b_stride` apart, those of out `out_stride`. `out` is read only if `add` is set.
    ///
    /// # Safety
    /// The pointers must be valid for these accesses, and the processor must have the instructions.
    unsafe fn product(
        rows: usize,
        depth: usize,
        a: Strided,
        b: *const f32,
        b_stride: usize,
        out: *mut f32,
        out_stride: usize,
        add: bool,
    );

    /// Packs `depth` x COLUMNS entries of a transposed b: entry (p, j) is read from
    /// `from[j * stride + p]`.
    ///
    /// # Safety
    /// As [`Self::product`].
    #[inline(always)]
    unsafe fn pack_transposed(from: *const f32, stride: usize, depth: usize, into: *mut f32) {
        for p in 0..depth {
            for j in 0..Self::COLUMNS {
                // SAFETY: required of the caller.
                unsafe { *into.add(p * Self::COLUMNS + j) = *from.add(j * stride + p) };
            }
        }
    }
}
