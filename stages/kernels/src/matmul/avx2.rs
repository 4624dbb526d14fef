//! AVX2 and FMA: 6 rows of two vectors in 12 of 16 registers.

use super::block::Block;
use super::epilogue::Epilogue;
use super::kernel::{Kernel, Onto, Strided};
use super::left::Left;
use super::number::{Number, Vector};
use super::place::Place;
use super::registers::{self, vector};
use super::right::Right;
use super::scratch::Scratch;
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
    _mm256_storeu_ps
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

/// Computes a block.
///
/// # Safety
/// The processor must have AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run<T: Number, L: Left<T>, R: Right<T>, P: Place, E: Epilogue<T>>(
    block: Block<T, L, R, P>,
    epilogue: &E,
    scratch: &mut Scratch<T>,
) {
    // SAFETY: required of the caller.
    unsafe { block.compute::<Avx2, E>(epilogue, scratch) }
}
