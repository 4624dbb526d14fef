//! AVX-512: 8 rows of two vectors in 16 of 32 registers.

use super::kernel::{Kernel, OnKernel, Onto, Strided};
use super::number::{Number, Vector};
use super::registers::{self, vector};
use std::arch::x86_64::*;

/// See the module documentation.
struct Avx512;

vector!(
    __m512,
    f32,
    16,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_storeu_ps,
    #[inline(always)]
    unsafe fn pack_transposed(from: *const f32, stride: usize, depth: usize, into: *mut f32) {
        // SAFETY: required of the caller.
        unsafe {
            let whole = depth / 16 * 16;
            for p in (0..whole).step_by(16) {
                for half in 0..2 {
                    let from = from.add(half * 16 * stride + p);
                    transpose(from, stride, into.add(p * 32 + half * 16), 32);
                }
            }
            for p in whole..depth {
                for j in 0..32 {
                    *into.add(p * 32 + j) = *from.add(j * stride + p);
                }
            }
        }
    }
);
vector!(
    __m512d,
    f64,
    8,
    _mm512_setzero_pd,
    _mm512_loadu_pd,
    _mm512_set1_pd,
    _mm512_fmadd_pd,
    _mm512_add_pd,
    _mm512_sub_pd,
    _mm512_storeu_pd
);

impl<T: Number> Kernel<T> for Avx512 {
    const ROWS: usize = 8;
    const COLUMNS: usize = 2 * T::Avx512::LANES;

    #[inline(always)]
    unsafe fn product(
        rows: usize,
        depth: usize,
        a: Strided<T>,
        b: *const T,
        b_stride: usize,
        out: *mut T,
        out_stride: usize,
        onto: Onto,
    ) {
        // SAFETY: required of the caller.
        unsafe {
            registers::product::<T::Avx512>(rows, depth, a, b, b_stride, out, out_stride, onto)
        }
    }

    #[inline(always)]
    unsafe fn pack_transposed(from: *const T, stride: usize, depth: usize, into: *mut T) {
        // SAFETY: required of the caller.
        unsafe { T::Avx512::pack_transposed(from, stride, depth, into) }
    }
}

/// Writes the transpose of 16 x 16 entries.
#[inline(always)]
unsafe fn transpose(from: *const f32, from_stride: usize, into: *mut f32, into_stride: usize) {
    // SAFETY: required of the caller.
    unsafe {
        // transpose rows in pairs, then in fours, inside each lane of 4; then the lanes
        let mut r = [_mm512_setzero_ps(); 16];
        for (i, r) in r.iter_mut().enumerate() {
            *r = _mm512_loadu_ps(from.add(i * from_stride));
        }
        let mut s = [_mm512_setzero_ps(); 16];
        for i in 0..4 {
            let [a, b, c, d] = [r[4 * i], r[4 * i + 1], r[4 * i + 2], r[4 * i + 3]];
            let (low, high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let (low2, high2) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            s[4 * i] = _mm512_shuffle_ps::<0x44>(low, low2);
            s[4 * i + 1] = _mm512_shuffle_ps::<0xEE>(low, low2);
            s[4 * i + 2] = _mm512_shuffle_ps::<0x44>(high, high2);
            s[4 * i + 3] = _mm512_shuffle_ps::<0xEE>(high, high2);
        }
        // s[4 i + c], lane l: column 4 l + c of rows 4 i .. 4 i + 3
        for c in 0..4 {
            let [a, b, d, e] = [s[c], s[4 + c], s[8 + c], s[12 + c]];
            let (ab_low, ab_high) = (
                _mm512_shuffle_f32x4::<0x88>(a, b), // a0 a2 b0 b2
                _mm512_shuffle_f32x4::<0xDD>(a, b), // a1 a3 b1 b3
            );
            let (de_low, de_high) = (
                _mm512_shuffle_f32x4::<0x88>(d, e),
                _mm512_shuffle_f32x4::<0xDD>(d, e),
            );
            let column0 = _mm512_shuffle_f32x4::<0x88>(ab_low, de_low); // a0 b0 d0 e0
            let column2 = _mm512_shuffle_f32x4::<0xDD>(ab_low, de_low); // a2 b2 d2 e2
            let column1 = _mm512_shuffle_f32x4::<0x88>(ab_high, de_high);
            let column3 = _mm512_shuffle_f32x4::<0xDD>(ab_high, de_high);
            for (l, column) in [column0, column1, column2, column3].into_iter().enumerate() {
                _mm512_storeu_ps(into.add((4 * l + c) * into_stride), column);
            }
        }
    }
}

/// Runs `work`.
///
/// # Safety
/// The processor must have AVX-512 F, VL, DQ and BW.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,fma")]
pub(super) unsafe fn run<T: Number, W: OnKernel<T>>(work: W) {
    // SAFETY: required of the caller.
    unsafe { work.run::<Avx512>() }
}
