//! The innermost loop of both vector levels: a block of the product in registers, two vectors wide.

use super::kernel::{Onto, Strided};
use super::number::Vector;
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

/// The intrinsics of a vector.
macro_rules! vector {
    ($vector:ident, $number:ty, $lanes:literal, $zero:ident, $load:ident, $splat:ident, $multiply_add:ident, $add:ident,
     $subtract:ident, $store:ident $(, $pack:item)?) => {
        // SAFETY, of each: required of the caller.
        impl Vector for $vector {
            type Number = $number;
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn zero() -> Self {
                unsafe { $zero() }
            }

            #[inline(always)]
            unsafe fn load(from: *const $number) -> Self {
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn splat(value: $number) -> Self {
                unsafe { $splat(value) }
            }

            #[inline(always)]
            unsafe fn multiply_add(self, factor: Self, summand: Self) -> Self {
                unsafe { $multiply_add(self, factor, summand) }
            }

            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                unsafe { $add(self, other) }
            }

            #[inline(always)]
            unsafe fn subtract(self, other: Self) -> Self {
                unsafe { $subtract(self, other) }
            }

            #[inline(always)]
            unsafe fn store(self, into: *mut $number) {
                unsafe { $store(into, self) }
            }

            $($pack)?
        }
    };
}
pub(super) use vector;

/// [`super::kernel::Kernel::product`] for 1 to 8 rows and two vectors of columns.
#[inline(always)]
pub(super) unsafe fn product<V: Vector>(
    rows: usize,
    depth: usize,
    a: Strided<V::Number>,
    b: *const V::Number,
    b_stride: usize,
    out: *mut V::Number,
    out_stride: usize,
    onto: Onto,
) {
    // SAFETY: required of the caller.
    unsafe {
        match rows {
            8 => rows_of::<V, 8>(depth, a, b, b_stride, out, out_stride, onto),
            7 => rows_of::<V, 7>(depth, a, b, b_stride, out, out_stride, onto),
            6 => rows_of::<V, 6>(depth, a, b, b_stride, out, out_stride, onto),
            5 => rows_of::<V, 5>(depth, a, b, b_stride, out, out_stride, onto),
            4 => rows_of::<V, 4>(depth, a, b, b_stride, out, out_stride, onto),
            3 => rows_of::<V, 3>(depth, a, b, b_stride, out, out_stride, onto),
            2 => rows_of::<V, 2>(depth, a, b, b_stride, out, out_stride, onto),
            _ => rows_of::<V, 1>(depth, a, b, b_stride, out, out_stride, onto),
        }
    }
}

#[inline(always)]
unsafe fn rows_of<V: Vector, const ROWS: usize>(
    depth: usize,
    a: Strided<V::Number>,
    b: *const V::Number,
    b_stride: usize,
    out: *mut V::Number,
    out_stride: usize,
    onto: Onto,
) {
    // SAFETY: required of the caller.
    unsafe {
        let mut sums = [[V::zero(); 2]; ROWS];
        for i in 0..ROWS {
            _mm_prefetch::<_MM_HINT_T0>(out.add(i * out_stride).cast());
        }
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
                let sum = match onto {
                    Onto::Replace => *sum,
                    Onto::Add => V::load(out).add(*sum),
                    Onto::Subtract => V::load(out).subtract(*sum),
                };
                sum.store(out);
            }
        }
    }
}
