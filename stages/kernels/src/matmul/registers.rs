//! The innermost loop of both vector levels: a block of the product in registers, two vectors wide.

use super::kernel::Strided;

/// A vector register of f32.
///
/// # Safety
/// Callers must pass valid pointers and run on a processor with the instructions.
pub(super) trait Vector: Copy {
    const LANES: usize;
    unsafe fn zero() -> Self;
    /// Loads from `from`.
    unsafe fn load(from: *const f32) -> Self;
    /// Broadcasts `value`.
    unsafe fn splat(value: f32) -> Self;
    /// `self * factor + summand`, rounded once.
    unsafe fn multiply_add(self, factor: Self, summand: Self) -> Self;
    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;
    /// Stores to `into`.
    unsafe fn store(self, into: *mut f32);
}

/// [`super::kernel::Kernel::product`] for 1 to 8 rows and two vectors of columns.
#[inline(always)]
pub(super) unsafe fn product<V: Vector>(
    rows: usize,
    depth: usize,
    a: Strided,
    b: *const f32,
    b_stride: usize,
    out: *mut f32,
    out_stride: usize,
    add: bool,
) {
    // SAFETY: required of the caller.
    unsafe {
        match rows {
            8 => rows_of::<V, 8>(depth, a, b, b_stride, out, out_stride, add),
            7 => rows_of::<V, 7>(depth, a, b, b_stride, out, out_stride, add),
            6 => rows_of::<V, 6>(depth, a, b, b_stride, out, out_stride, add),
            5 => rows_of::<V, 5>(depth, a, b, b_stride, out, out_stride, add),
            4 => rows_of::<V, 4>(depth, a, b, b_stride, out, out_stride, add),
            3 => rows_of::<V, 3>(depth, a, b, b_stride, out, out_stride, add),
            2 => rows_of::<V, 2>(depth, a, b, b_stride, out, out_stride, add),
            _ => rows_of::<V, 1>(depth, a, b, b_stride, out, out_stride, add),
        }
    }
}

#[inline(always)]
unsafe fn rows_of<V: Vector, const ROWS: usize>(
    depth: usize,
    a: Strided,
    b: *const f32,
    b_stride: usize,
    out: *mut f32,
    out_stride: usize,
    add: bool,
) {
    // SAFETY: required of the caller.
    unsafe {
        let mut sums = [[V::zero(); 2]; ROWS];
        let (mut at, mut b) = (a.start, b);
        for _ in 0..depth {
            let (left, right) = (V::load(b), V::load(b.add(V::LANES)));
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = V::splat(*at.add(i * a.row_stride));
                sums[0] = a.multiply_add(left, sums[0]);
                sums[1] = a.multiply_add(right, sums[1]);
            }
            at = at.wrapping_add(a.column_stride);
            b = b.wrapping_add(b_stride);
        }
        for (i, sums) in sums.iter().enumerate() {
            for (j, sum) in sums.iter().enumerate() {
                let out = out.add(i * out_stride + V::LANES * j);
                let sum = if add { V::load(out).add(*sum) } else { *sum };
                sum.store(out);
            }
        }
    }
}
