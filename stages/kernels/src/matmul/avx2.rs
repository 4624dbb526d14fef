//! AVX2 and FMA: 6 rows of two vectors in 12 of 16 registers.

use super::kernel::{Kernel, OnKernel, Onto, Strided};
use super::number::{Number, Vector};
use super::registers::{self, vector};
use std::arch::x86_64::*;

/// See the module documentation.
struct Avx2;

vector!(
    __m256,
    f32,
    8,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_storeu_ps,
    #[inline(always)]
    unsafe fn pack_transposed(from: *const f32, stride: usize, depth: usize, into: *mut f32) {
        // SAFETY: required of the caller.
        unsafe {
            let whole = depth / 8 * 8;
            for p in (0..whole).step_by(8) {
                for half in 0..2 {
                    let from = from.add(half * 8 * stride + p);
                    transpose(from, stride, into.add(p * 16 + half * 8), 16);
                }
            }
            for p in whole..depth {
                for j in 0..16 {
                    *into.add(p * 16 + j) = *from.add(j * stride + p);
                }
            }
        }
    }
);
vector!(
    __m256d,
    f64,
    4,
    _mm256_setzero_pd,
    _mm256_loadu_pd,
    _mm256_set1_pd,
    _mm256_fmadd_pd,
    _mm256_add_pd,
    _mm256_sub_pd,
    _mm256_storeu_pd
);

impl<T: Number> Kernel<T> for Avx2 {
    const ROWS: usize = 6;
    const COLUMNS: usize = 2 * T::Avx2::LANES;

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
        unsafe { registers::product::<T::Avx2>(rows, depth, a, b, b_stride, out, out_stride, onto) }
    }

    #[inline(always)]
    unsafe fn pack_transposed(from: *const T, stride: usize, depth: usize, into: *mut T) {
        // SAFETY: required of the caller.
        unsafe { T::Avx2::pack_transposed(from, stride, depth, into) }
    }
}

/// Writes the transpose of 8 x 8 entries.
#[inline(always)]
unsafe fn transpose(from: *const f32, from_stride: usize, into: *mut f32, into_stride: usize) {
    // SAFETY: required of the caller.
    unsafe {
        let mut r = [_mm256_setzero_ps(); 8];
        for (i, r) in r.iter_mut().enumerate() {
            *r = _mm256_loadu_ps(from.add(i * from_stride));
        }
        // s[4 h + c], lane l: column 4 l + c of rows 4 h .. 4 h + 3
        let mut s = [_mm256_setzero_ps(); 8];
        for h in 0..2 {
            let [a, b, c, d] = [r[4 * h], r[4 * h + 1], r[4 * h + 2], r[4 * h + 3]];
            let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (low2, high2) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            s[4 * h] = _mm256_shuffle_ps::<0x44>(low, low2);
            s[4 * h + 1] = _mm256_shuffle_ps::<0xEE>(low, low2);
            s[4 * h + 2] = _mm256_shuffle_ps::<0x44>(high, high2);
            s[4 * h + 3] = _mm256_shuffle_ps::<0xEE>(high, high2);
        }
        for c in 0..4 {
            let lower = _mm256_permute2f128_ps::<0x20>(s[c], s[4 + c]);
            let upper = _mm256_permute2f128_ps::<0x31>(s[c], s[4 + c]);
            _mm256_storeu_ps(into.add(c * into_stride), lower);
            _mm256_storeu_ps(into.add((4 + c) * into_stride), upper);
        }
    }
}

/// Runs `work`.
///
/// # Safety
/// The processor must have AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run<T: Number, W: OnKernel<T>>(work: W) {
    // SAFETY: required of the caller.
    unsafe { work.run::<Avx2>() }
}
