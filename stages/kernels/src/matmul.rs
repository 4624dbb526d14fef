//! Matrix products with fused epilogues.
//!
//! After Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (ACM TOMS 34(3), 2008): a
//! packed panel of b stays in the L1 cache while rows of a pass by, and a small block of the product stays in
//! registers.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod block;
mod dispatch;
mod epilogue;
mod kernel;
mod left;
mod linear;
mod matrix;
mod number;
mod packed;
mod place;
mod portable;
mod product;
#[cfg(target_arch = "x86_64")]
mod registers;
mod right;
mod scratch;

use crate::fresh::Fresh;
use crate::parallel::*;
use crate::shared::Shared;
pub(crate) use block::Target;
pub(crate) use dispatch::on_kernel;
pub(crate) use epilogue::{AddBias, BiasSilu, Epilogue, Plain};
pub use kernel::Onto;
pub(crate) use kernel::{Kernel, OnKernel, Strided};
pub(crate) use left::{Left, Part};
pub use linear::{LinearGradient, linear_gradient};
pub use matrix::Matrix;
pub(crate) use number::Number;
pub(crate) use packed::Packed;
pub(crate) use place::{InOrder, Place, Run};
use product::Product;
pub(crate) use right::Right;
use std::mem::MaybeUninit;

/// `a b`: a [m, k], b [k, n] -> [m, n] row-major.
pub fn product(a: Matrix, b: Matrix) -> Vec<f32> {
    matmul(a, b, &Plain)
}

/// `a b + bias`, the bias `[n]` added to every row.
pub fn product_plus_bias(a: Matrix, b: Matrix, bias: &[f32]) -> Vec<f32> {
    matmul(a, b, &AddBias(bias))
}

/// SiLU of `a b + bias`, and its derivative there if `keep` is set.
pub fn product_bias_silu(a: Matrix, b: Matrix, bias: &[f32], keep: bool) -> (Vec<f32>, Vec<f32>) {
    let mut slope = Fresh::new(if keep { a.rows * b.columns } else { 0 });
    let epilogue = BiasSilu {
        bias,
        slope: keep.then(|| Shared::new(slope.room())),
    };
    let out = matmul(a, b, &epilogue);
    // SAFETY: it is empty, or the product has finished every entry.
    (out, unsafe { slope.written() })
}

/// `epilogue(a b)`: a [m, k], b [k, n] -> [m, n] row-major. The order of an entry's sum depends on k only. Every
/// entry is finished on return.
pub(crate) fn matmul<R: Right, E: Epilogue>(a: Matrix, b: R, epilogue: &E) -> Vec<f32> {
    let mut out = Fresh::new(a.rows * b.columns());
    fill(a, b, Shared::new(out.room()), InOrder, epilogue);
    // SAFETY: the blocks cover the product, and each writes all of its entries.
    unsafe { out.written() }
}

/// `sums += a b`: a [m, k], b [k, n], sums [m, n] row-major.
pub(crate) fn add_product(a: Matrix, b: Matrix, sums: &mut [f32]) {
    assert_eq!(sums.len(), a.rows * b.columns, "sums of another shape");
    let sums = Target::over(sums, b.columns);
    fill_parts(
        a,
        b,
        1,
        Target {
            onto: Onto::Add,
            ..sums
        },
        &Plain,
    );
}

/// `a b` for products whose sums are longer than the number of entries: the sums are split into `parts` of about
/// equal length, one task each, which are then added in order.
pub(crate) fn long_sums<L: Left, R: Right>(a: L, b: R, parts: usize) -> Vec<f32> {
    let size = a.rows() * b.columns();
    let parts = parts.clamp(1, a.columns().max(1));
    let mut all = Fresh::new(parts * size);
    let target = Target::new(Shared::new(all.room()), InOrder, b.columns());
    fill_parts(a, b, parts, target, &Plain);
    // SAFETY: the blocks of each part cover its product.
    let mut all = unsafe { all.written() };
    if size > 0 {
        let (out, others) = all.split_at_mut(size);
        let chunk = size.div_ceil(4 * threads());
        (out.par_chunks_mut(chunk).enumerate()).for_each(|(number, out)| {
            for part in others.chunks_exact(size) {
                let part = &part[number * chunk..][..out.len()];
                out.iter_mut()
                    .zip(part)
                    .for_each(|(sum, part)| *sum += part);
            }
        });
    }
    all.truncate(size);
    all
}

/// Writes `epilogue(a b)` to `out`, each row at the position given by `place`. Rows of `out` have the product's
/// length. Nothing else may access these rows meanwhile.
pub(crate) fn fill<L: Left, R: Right, P: Place, E: Epilogue>(
    a: L,
    b: R,
    out: Shared<MaybeUninit<f32>>,
    place: P,
    epilogue: &E,
) {
    fill_parts(a, b, 1, Target::new(out, place, b.columns()), epilogue);
}

/// As [`fill`], writing `parts` partial sums one after another to `target`.
pub(crate) fn fill_parts<T: Number, L: Left<T>, R: Right<T>, P: Place, E: Epilogue<T>>(
    a: L,
    b: R,
    parts: usize,
    target: Target<T, P>,
    epilogue: &E,
) {
    let (rows, depth, columns) = (a.rows(), a.columns(), b.columns());
    assert_eq!(depth, b.rows(), "inner dimensions differ");
    if rows == 0 || columns == 0 {
        return;
    }
    if depth == 0 {
        assert!(
            target.onto == Onto::Replace && !target.upper,
            "a product of some depth"
        );
        // empty sums: apply the epilogue to zeros
        place::each(target.place, 0..rows, |_, place| {
            // SAFETY: no two rows have the same place.
            let values = unsafe { target.out.part(place * target.stride, columns) };
            values.fill(MaybeUninit::new(T::default()));
            // SAFETY: filled just now.
            epilogue.finish(place, 0, unsafe { values.assume_init_mut() });
        });
        return;
    }
    if R::PACK_FIRST && rows > ROWS {
        let b = Packed::new(b);
        return together(&[&Product::new(a, &b, parts, target, epilogue)]);
    }
    together(&[&Product::new(a, b, parts, target, epilogue)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::numbers;

    #[test]
    fn products_are_those_of_double_precision_in_every_layout() {
        let sizes: &[[usize; 3]] = match cfg!(miri) {
            // two blocks of rows, two parts of the sums, whole and partial panels
            true => &[[1, 1, 1], [3, 5, 2], [9, 4, 24], [257, 3, 9], [5, 515, 8]],
            false => &[
                [1, 1, 1],
                [3, 5, 2],
                [8, 32, 32],
                [12, 700, 96], // few rows: b is read where it is
                [300, 70, 33],
                [257, 1100, 100],
                [64, 256, 768],
            ],
        };
        for &[m, k, n] in sizes {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let bias = numbers(n, 3);
            let mut a_turned = vec![0.0; m * k];
            let mut b_turned = vec![0.0; k * n];
            for i in 0..m {
                for p in 0..k {
                    a_turned[p * m + i] = a[i * k + p];
                }
            }
            for p in 0..k {
                for j in 0..n {
                    b_turned[j * k + p] = b[p * n + j];
                }
            }
            let in_place = Matrix::new(&a, m, k);
            let turned = Matrix::new(&a_turned, k, m).transposed();
            for a_layout in [in_place, turned] {
                for b_layout in [
                    Matrix::new(&b, k, n),
                    Matrix::new(&b_turned, n, k).transposed(),
                ] {
                    let out = product_plus_bias(a_layout, b_layout, &bias);
                    for i in 0..m {
                        for j in 0..n {
                            let exact: f64 = (0..k)
                                .map(|p| f64::from(a[i * k + p]) * f64::from(b[p * n + j]))
                                .sum::<f64>()
                                + f64::from(bias[j]);
                            let found = f64::from(out[i * n + j]);
                            let bound = 1e-6 * (k as f64).sqrt() * 4.0 + 1e-6;
                            assert!(
                                (found - exact).abs() < bound,
                                "{m} {k} {n}: {found} {exact}"
                            );
                        }
                    }
                }
            }
        }
    }

    /// Fails if a part of the sums is omitted, counted twice, or written to the wrong place.
    #[test]
    fn long_sums_in_parts_are_those_of_double_precision() {
        let (m, k, n) = if cfg!(miri) {
            (9, 40, 10)
        } else {
            (270, 1301, 43)
        };
        let (a, b) = (numbers(k * m, 1), numbers(k * n, 2));
        for parts in [1, 3, 16] {
            let left = Matrix::new(&a, k, m).transposed();
            let out = long_sums(left, Matrix::new(&b, k, n), parts);
            assert_eq!(out.len(), m * n);
            for (i, found) in out.iter().enumerate() {
                let terms =
                    (0..k).map(|p| f64::from(a[p * m + i / n]) * f64::from(b[p * n + i % n]));
                let exact: f64 = terms.sum();
                assert!(
                    (f64::from(*found) - exact).abs() < 2e-4,
                    "{parts} {i}: {found} {exact}"
                );
            }
        }
    }

    #[test]
    #[cfg(not(miri))] // Miri runs one thread only
    fn the_number_of_threads_does_not_change_a_bit() {
        let (m, k, n) = (300, 600, 200);
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| product(Matrix::new(&a, m, k), Matrix::new(&b, k, n)))
        };
        let one = on(1);
        assert!(one == on(2) && one == on(7));
        // code in a rayon pool runs alone; outside, helpers take part
        assert!(one == product(Matrix::new(&a, m, k), Matrix::new(&b, k, n)));
    }
}
