//! AVX2 and FMA: 6 x 16 entries in 12 of 16 registers.

use super::{Block, Epilogue, Kernel, Scratch, Strided};
use std::arch::x86_64::*;

/// See the module.
struct Avx2;

#[inline(always)]
unsafe fn product<const ROWS: usize>(
    depth: usize,
    a: Strided,
    b: *const f32,
    out: *mut f32,
    out_stride: usize,
    add: bool,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
        let (mut at, mut b) = (a.start, b);
        for _ in 0..depth {
            let (left, right) = (_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8)));
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = _mm256_set1_ps(*at.add(i * a.row_stride));
                sums[0] = _mm256_fmadd_ps(a, left, sums[0]);
                sums[1] = _mm256_fmadd_ps(a, right, sums[1]);
            }
            at = at.wrapping_add(a.column_stride);
            b = b.add(16);
        }
        for (i, sums) in sums.iter().enumerate() {
            for (j, sum) in sums.iter().enumerate() {
                let out = out.add(i * out_stride + 8 * j);
                let sum = if add {
                    _mm256_add_ps(_mm256_loadu_ps(out), *sum)
                } else {
                    *sum
                };
                _mm256_storeu_ps(out, sum);
            }
        }
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
        out: *mut f32,
        out_stride: usize,
        add: bool,
    ) {
        // SAFETY: the caller's.
        unsafe {
            match rows {
                6 => product::<6>(depth, a, b, out, out_stride, add),
                5 => product::<5>(depth, a, b, out, out_stride, add),
                4 => product::<4>(depth, a, b, out, out_stride, add),
                3 => product::<3>(depth, a, b, out, out_stride, add),
                2 => product::<2>(depth, a, b, out, out_stride, add),
                _ => product::<1>(depth, a, b, out, out_stride, add),
            }
        }
    }
}

/// Computes a block.
///
/// # Safety
/// The processor must have AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run<E: Epilogue>(block: Block, epilogue: &E, scratch: &mut Scratch) {
    // SAFETY: the caller's.
    unsafe { block.compute::<Avx2, E>(epilogue, scratch) }
}
