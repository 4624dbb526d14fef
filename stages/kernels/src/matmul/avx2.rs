//! AVX2 and FMA: 6 x 16 entries in 12 of 16 registers.

use super::block::{Block, Scratch};
use super::epilogue::Epilogue;
use super::kernel::{Kernel, Strided};
use super::left::Left;
use super::place::Place;
use super::registers::{self, Vector};
use super::right::Right;
use std::arch::x86_64::*;

/// See the module documentation.
struct Avx2;

impl Vector for __m256 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: required of the caller.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, factor: Self, summand: Self) -> Self {
        unsafe { _mm256_fmadd_ps(self, factor, summand) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { _mm256_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn store(self, into: *mut f32) {
        unsafe { _mm256_storeu_ps(into, self) }
    }
}

impl Kernel for Avx2 {
    const ROWS: usize = 6;
    const COLUMNS: usize = 16;

    #[inline(always)]
    unsafe fn product(
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
        unsafe { registers::product::<__m256>(rows, depth, a, b, b_stride, out, out_stride, add) }
    }
}

/// Computes a block.
///
/// # Safety
/// The processor must have AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run<L: Left, R: Right, P: Place, E: Epilogue>(
    block: Block<L, R, P>,
    epilogue: &E,
    scratch: &mut Scratch,
) {
    // SAFETY: required of the caller.
    unsafe { block.compute::<Avx2, E>(epilogue, scratch) }
}
