//! Plain Rust: 4 x 8 entries in registers.

use super::kernel::{Kernel, Onto, Strided};
use super::number::Number;

/// See the module documentation.
pub(super) struct Portable;

impl<T: Number> Kernel<T> for Portable {
    const ROWS: usize = 4;
    const COLUMNS: usize = 8;

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
        let mut sums = [[T::default(); 8]; 4];
        for p in 0..depth {
            // SAFETY: a row of b, and rows of a, by the caller's contract.
            unsafe {
                let b = &*b.add(p * b_stride).cast::<[T; 8]>();
                for (i, sums) in sums.iter_mut().enumerate().take(rows) {
                    let a = *a.start.add(i * a.row_stride + p * a.column_stride);
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum += a * *b;
                    }
                }
            }
        }
        for (i, sums) in sums.iter().enumerate().take(rows) {
            for (j, sum) in sums.iter().enumerate() {
                // SAFETY: a row of the output, by the caller's contract.
                unsafe {
                    let out = out.add(i * out_stride + j);
                    onto.write(out, *sum);
                }
            }
        }
    }
}
