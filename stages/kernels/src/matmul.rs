//! Matrix products, and what follows each entry fused into them.
//!
//! After Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (ACM TOMS 34(3),
//! 2008): a panel of b, packed, stays in the first cache while rows of a pass by; a small block of the
//! product stays in registers.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
#[cfg(target_arch = "x86_64")]
mod registers;

use crate::level::Level;
use crate::parallel::*;
use crate::{Fresh, ROWS, Shared};
use std::cell::RefCell;
use std::mem::MaybeUninit;

/// Length of the sums that are taken at once.
const DEPTH: usize = 512;

/// A matrix [rows, columns] of f32, row-major or the transpose of one that is.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix [rows, columns].
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "not a matrix of this shape");
        Self {
            values,
            rows,
            columns,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Its transpose [columns, rows].
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// What is done with each entry of a product once it is complete.
pub(crate) trait Epilogue: Sync {
    /// `values` are the entries (row, column..), to be changed in place. Each entry is seen once; rows
    /// of one block of [`ROWS`] in ascending order, by one thread.
    fn finish(&self, row: usize, column: usize, values: &mut [f32]);
}

/// Leaves entries as they are.
pub(crate) struct Plain;

impl Epilogue for Plain {
    #[inline(always)]
    fn finish(&self, _: usize, _: usize, _: &mut [f32]) {}
}

/// Adds a bias `[columns]` to each row.
struct AddBias<'a>(&'a [f32]);

impl Epilogue for AddBias<'_> {
    #[inline(always)]
    fn finish(&self, _: usize, column: usize, values: &mut [f32]) {
        let bias = &self.0[column..column + values.len()];
        for (value, bias) in values.iter_mut().zip(bias) {
            *value += bias;
        }
    }
}

/// `a b`: a [m, k], b [k, n] -> [m, n] row-major.
pub fn product(a: Matrix, b: Matrix) -> Vec<f32> {
    matmul(a, b, &Plain)
}

/// `a b + bias`, the bias `[n]` added to every row.
pub fn product_plus_bias(a: Matrix, b: Matrix, bias: &[f32]) -> Vec<f32> {
    matmul(a, b, &AddBias(bias))
}

/// `epilogue(a b)`: a [m, k], b [k, n] -> [m, n] row-major. The sum of an entry is taken in an order that
/// only k decides. Every entry has been finished when it returns.
pub(crate) fn matmul<E: Epilogue>(a: Matrix, b: Matrix, epilogue: &E) -> Vec<f32> {
    assert_eq!(a.columns, b.rows, "inner dimensions differ");
    if a.rows == 0 || b.columns == 0 {
        return Vec::new();
    }
    if a.columns == 0 {
        // no sum has a term, and what follows sums follows these too
        let mut out = vec![0.0; a.rows * b.columns];
        for (row, values) in out.chunks_exact_mut(b.columns).enumerate() {
            epilogue.finish(row, 0, values);
        }
        return out;
    }
    let mut out = Fresh::new(a.rows * b.columns);
    fill(a, b, out.room(), epilogue);
    // SAFETY: the blocks cover the product, and each writes all of its entries.
    unsafe { out.written() }
}

/// Computes each entry of a product into `out`.
fn fill<E: Epilogue>(a: Matrix, b: Matrix, out: &mut [MaybeUninit<f32>], epilogue: &E) {
    let panel = match Level::get() {
        Level::Avx512 => 32,
        Level::Avx2 => 16,
        Level::Portable => 8,
    };
    let row_blocks = a.rows.div_ceil(ROWS);
    let panels = b.columns.div_ceil(panel);
    // enough tasks for all threads, each as wide as that allows
    let groups = (2 * threads()).div_ceil(row_blocks).min(panels);
    let group = panels.div_ceil(groups) * panel;
    let out = Shared::new(out);
    (0..row_blocks * groups)
        .into_par_iter()
        .with_max_len(1)
        .for_each(|task| {
            let first_row = task / groups * ROWS;
            let first_column = task % groups * group;
            let block = Block {
                a,
                b,
                rows: first_row..(first_row + ROWS).min(a.rows),
                columns: first_column.min(b.columns)..(first_column + group).min(b.columns),
                out,
            };
            SCRATCH.with_borrow_mut(|scratch| match Level::get() {
                // SAFETY: the level says that the processor has these instructions.
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => unsafe { avx512::run(block, epilogue, scratch) },
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => unsafe { avx2::run(block, epilogue, scratch) },
                _ => portable::run(block, epilogue, scratch),
            });
        });
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch { a: Vec::new(), b: Vec::new() }) };
}

/// Packed parts of the operands.
struct Scratch {
    a: Vec<f32>,
    b: Vec<f32>,
}

/// One task: the entries `rows` x `columns` of the product.
struct Block<'a> {
    a: Matrix<'a>,
    b: Matrix<'a>,
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    out: Shared<'a, MaybeUninit<f32>>,
}

/// Where the rows of a are read from: entry (i, p) at `start + i row_stride + p column_stride`.
#[derive(Clone, Copy)]
struct Strided {
    start: *const f32,
    row_stride: usize,
    column_stride: usize,
}

/// The innermost loops for one set of instructions.
trait Kernel {
    /// Rows and columns of the product held in registers.
    const ROWS: usize;
    const COLUMNS: usize;

    /// `out[i, j] (+)= sum_p a[i, p] b[p, j]` for `rows` <= ROWS rows and all COLUMNS columns; b packed
    /// [depth, COLUMNS], rows of out `out_stride` apart. What out holds is read only to `add` to it.
    ///
    /// # Safety
    /// The pointers must be good for all that, and the processor have the instructions.
    unsafe fn product(
        rows: usize,
        depth: usize,
        a: Strided,
        b: *const f32,
        out: *mut f32,
        out_stride: usize,
        add: bool,
    );

    /// Packs `depth` x COLUMNS entries of a transposed b: entry (p, j) from `from[j * stride + p]`.
    ///
    /// # Safety
    /// As [`Self::product`].
    #[inline(always)]
    unsafe fn pack_transposed(from: *const f32, stride: usize, depth: usize, into: *mut f32) {
        for p in 0..depth {
            for j in 0..Self::COLUMNS {
                // SAFETY: the caller's.
                unsafe { *into.add(p * Self::COLUMNS + j) = *from.add(j * stride + p) };
            }
        }
    }
}

impl Block<'_> {
    /// Computes the block. Must be inlined into a function with the instructions of `K`.
    ///
    /// # Safety
    /// The processor must have them.
    #[inline(always)]
    unsafe fn compute<K: Kernel, E: Epilogue>(self, epilogue: &E, scratch: &mut Scratch) {
        let depth = self.a.columns;
        let width = self.b.columns;
        let mut edge = [0.0f32; 1024];
        assert!(K::ROWS * K::COLUMNS <= edge.len());
        for start in (0..depth).step_by(DEPTH) {
            let length = DEPTH.min(depth - start);
            // SAFETY: all of `start..start + length` and the rows are inside a.
            let a = unsafe { self.rows_of_a::<K>(start, length, &mut scratch.a) };
            for column in self.columns.clone().step_by(K::COLUMNS) {
                let columns = K::COLUMNS.min(self.columns.end - column);
                // SAFETY: as above, inside b.
                unsafe { self.pack_b::<K>(start, length, column, columns, &mut scratch.b) };
                let packed = scratch.b.as_ptr();
                for row in self.rows.clone().step_by(K::ROWS) {
                    let rows = K::ROWS.min(self.rows.end - row);
                    let out = self.out.block(row * width + column, rows, width, columns);
                    let out = out.cast::<f32>();
                    let a = a.at_row(row - self.rows.start, K::ROWS);
                    if columns == K::COLUMNS {
                        // SAFETY: `rows` rows of `columns` entries are there, only this task touches them,
                        // and they are added to once they were written.
                        unsafe { K::product(rows, length, a, packed, out, width, start > 0) };
                    } else {
                        let to = edge.as_mut_ptr();
                        // SAFETY: the edge has room for a whole block.
                        unsafe { K::product(rows, length, a, packed, to, K::COLUMNS, false) };
                        for i in 0..rows {
                            let from = &edge[i * K::COLUMNS..][..columns];
                            for (j, from) in from.iter().enumerate() {
                                // SAFETY: as above.
                                unsafe {
                                    let to = out.add(i * width + j);
                                    *to = if start > 0 { *to + from } else { *from };
                                }
                            }
                        }
                    }
                }
                if start + length == depth {
                    for row in self.rows.clone() {
                        // SAFETY: only this task touches these entries, and it has written them.
                        let values = unsafe {
                            (self.out.part(row * width + column, columns)).assume_init_mut()
                        };
                        epilogue.finish(row, column, values);
                    }
                }
            }
        }
    }

    /// The rows of this block, columns `start..start + length` of a. A transposed a is packed, since
    /// its entries are far apart; rows that are contiguous are read where they are.
    #[inline(always)]
    unsafe fn rows_of_a<K: Kernel>(
        &self,
        start: usize,
        length: usize,
        packed: &mut Vec<f32>,
    ) -> RowsOfA {
        let values = self.a.values.as_ptr();
        if self.a.row_stride != 1 || self.a.column_stride == 1 {
            let offset = self.rows.start * self.a.row_stride + start * self.a.column_stride;
            return RowsOfA {
                // SAFETY: inside a.
                start: unsafe { values.add(offset) },
                row_stride: self.a.row_stride,
                column_stride: self.a.column_stride,
                group: None,
            };
        }
        let groups = self.rows.len().div_ceil(K::ROWS);
        packed.resize(groups * K::ROWS * DEPTH, 0.0);
        for group in 0..groups {
            let first = self.rows.start + group * K::ROWS;
            let rows = K::ROWS.min(self.rows.end - first);
            let into = packed[group * K::ROWS * length..].as_mut_ptr();
            for p in 0..length {
                // SAFETY: rows first..first + rows of column start + p are inside a.
                unsafe {
                    let from = values.add((start + p) * self.a.column_stride + first);
                    let into = into.add(p * K::ROWS);
                    if rows == K::ROWS {
                        std::ptr::copy_nonoverlapping(from, into, K::ROWS);
                    } else {
                        std::ptr::copy_nonoverlapping(from, into, rows);
                    }
                }
            }
        }
        RowsOfA {
            start: packed.as_ptr(),
            row_stride: 1,
            column_stride: K::ROWS,
            group: Some(K::ROWS * length),
        }
    }

    /// Packs rows `start..start + length`, `columns` columns of b from `column` on, filled up with
    /// zeros.
    #[inline(always)]
    unsafe fn pack_b<K: Kernel>(
        &self,
        start: usize,
        length: usize,
        column: usize,
        columns: usize,
        packed: &mut Vec<f32>,
    ) {
        packed.resize(DEPTH * K::COLUMNS, 0.0);
        let offset = start * self.b.row_stride + column * self.b.column_stride;
        // SAFETY: inside b.
        let from = unsafe { self.b.values.as_ptr().add(offset) };
        let into = packed.as_mut_ptr();
        if columns == K::COLUMNS && self.b.column_stride == 1 {
            for p in 0..length {
                // SAFETY: a whole row of the panel.
                unsafe {
                    let from = from.add(p * self.b.row_stride);
                    std::ptr::copy_nonoverlapping(from, into.add(p * K::COLUMNS), K::COLUMNS);
                }
            }
        } else if columns == K::COLUMNS && self.b.row_stride == 1 {
            // SAFETY: `length` entries of COLUMNS rows of what b is the transpose of.
            unsafe { K::pack_transposed(from, self.b.column_stride, length, into) };
        } else {
            packed[..length * K::COLUMNS].fill(0.0);
            for p in 0..length {
                for j in 0..columns {
                    let at = p * self.b.row_stride + j * self.b.column_stride;
                    // SAFETY: inside b.
                    packed[p * K::COLUMNS + j] = unsafe { *from.add(at) };
                }
            }
        }
    }
}

/// The rows of a block, in place or packed in groups.
#[derive(Clone, Copy)]
struct RowsOfA {
    start: *const f32,
    row_stride: usize,
    column_stride: usize,
    /// Entries of a packed group of rows.
    group: Option<usize>,
}

impl RowsOfA {
    /// From `row` (a multiple of `rows`) on.
    #[inline(always)]
    fn at_row(self, row: usize, rows: usize) -> Strided {
        let offset = match self.group {
            Some(entries) => row / rows * entries,
            None => row * self.row_stride,
        };
        Strided {
            start: self.start.wrapping_add(offset),
            row_stride: self.row_stride,
            column_stride: self.column_stride,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1000.0 - 1.0)
            .collect()
    }

    #[test]
    fn products_are_those_of_double_precision_in_every_layout() {
        let sizes: &[[usize; 3]] = match cfg!(miri) {
            // two blocks of rows, two parts of the sums, panels whole and not
            true => &[[1, 1, 1], [3, 5, 2], [9, 4, 24], [257, 3, 9], [4, 515, 8]],
            false => &[
                [1, 1, 1],
                [3, 5, 2],
                [8, 32, 32],
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

    #[test]
    #[cfg(not(miri))] // which has one thread only
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
    }
}
