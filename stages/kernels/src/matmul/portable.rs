//! Plain Rust: 4 x 8 entries in registers.

use super::block::{Block, Scratch};
use super::epilogue::Epilogue;
use super::kernel::{Kernel, Strided};
use super::left::Left;
use super::place::Place;
use super::right::Right;

/// See the module documentation.
struct Portable;

impl Kernel for Portable {
    const ROWS: usize = 4;
    const COLUMNS: usize = 8;

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
        let mut sums = [[0.0f32; 8]; 4];
        for p in 0..depth {
            // SAFETY: a row of b, and rows of a, by the caller's contract.
            unsafe {
                let b = &*b.add(p * b_stride).cast::<[f32; 8]>();
                for (i, sums) in sums.iter_mut().enumerate().take(rows) {
                    let a = *a.start.add(i * a.row_stride + p * a.column_stride);
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum += a * b;
                    }
                }
            }
        }
        for (i, sums) in sums.iter().enumerate().take(rows) {
            for (j, sum) in sums.iter().enumerate() {
                // SAFETY: a row of the output, by the caller's contract.
                unsafe {
                    let out = out.add(i * out_stride + j);
                    *out = if add { *out + sum } else { *sum };
                }
            }
        }
    }
}

/// Computes a block.
pub(super) fn run<L: Left, R: Right, P: Place, E: Epilogue>(
    block: Block<L, R, P>,
    epilogue: &E,
    scratch: &mut Scratch,
) {
    // SAFETY: no special instructions are needed.
    unsafe { block.compute::<Portable, E>(epilogue, scratch) }
}
