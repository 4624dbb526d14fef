//! Products and Cholesky factors of dense matrices in f64, by blocks of columns on all threads.
//!
//! Blocks have a fixed size, so that results do not depend on the number of threads.

use nalgebra::{DMatrix, DMatrixView, DMatrixViewMut, DVector};
use rayon::prelude::*;

/// Columns of a block.
const BLOCK: usize = 64;
/// Rows of a block of a product with few columns.
const ROWS: usize = 256;

/// `a b`.
///
/// # Panics
/// Where `a` has not as many columns as `b` has rows.
pub(crate) fn product(a: &DMatrix<f64>, b: &DMatrix<f64>) -> DMatrix<f64> {
    assert_eq!(a.ncols(), b.nrows(), "shapes of a product");
    let (rows, inner) = (a.nrows(), b.nrows());
    let mut out = DMatrix::zeros(rows, b.ncols());
    if rows == 0 || inner == 0 {
        return out;
    }
    if b.ncols() <= BLOCK {
        // a single block of columns: by blocks of rows
        let blocks: Vec<DMatrix<f64>> = ((0..rows).into_par_iter().step_by(ROWS))
            .map(|first| a.rows(first, ROWS.min(rows - first)) * b)
            .collect();
        for (block, first) in blocks.iter().zip((0..rows).step_by(ROWS)) {
            out.rows_mut(first, block.nrows()).copy_from(block);
        }
        return out;
    }
    (out.as_mut_slice().par_chunks_mut(rows * BLOCK))
        .zip(b.as_slice().par_chunks(inner * BLOCK))
        .for_each(|(out, b)| {
            let columns = b.len() / inner;
            let b = DMatrixView::from_slice(b, inner, columns);
            DMatrixViewMut::from_slice(out, rows, columns).gemm(1.0, a, &b, 0.0);
        });
    out
}

/// A Cholesky factor: `L L^T = A` with L lower triangular.
#[derive(Debug, Clone)]
pub(crate) struct Factor {
    /// L, whose entries above the diagonal blocks mean nothing.
    lower: DMatrix<f64>,
    /// L^T, of which only what is right of the diagonal blocks is written.
    upper: DMatrix<f64>,
    /// Inverses of the diagonal blocks of L.
    inverses: Vec<DMatrix<f64>>,
}

impl Factor {
    /// Of the symmetric `matrix` [n, n], whose lower triangle is read. `None` where it is not positive definite.
    ///
    /// # Panics
    /// Where the matrix is not square.
    pub fn new(matrix: DMatrix<f64>) -> Option<Self> {
        let n = matrix.nrows();
        assert_eq!(n, matrix.ncols(), "a square matrix");
        let mut lower = matrix;
        let mut upper = DMatrix::zeros(n, n);
        let mut inverses = Vec::with_capacity(n.div_ceil(BLOCK));
        for start in (0..n).step_by(BLOCK) {
            let end = (start + BLOCK).min(n);
            let width = end - start;
            let mut diagonal = lower.view((start, start), (width, width)).into_owned();
            diagonal = diagonal.cholesky()?.unpack();
            let mut inverse = DMatrix::identity(width, width);
            if !diagonal.solve_lower_triangular_mut(&mut inverse) {
                return None;
            }
            lower
                .view_mut((start, start), (width, width))
                .copy_from(&diagonal);
            // what is below the diagonal block: A L^-T, as rows of L^T
            let below = lower.view((end, start), (n - end, width));
            let panel = product(&inverse, &below.transpose());
            inverses.push(inverse);
            upper
                .view_mut((start, end), (width, n - end))
                .copy_from(&panel);
            let columns = panel.transpose();
            lower
                .view_mut((end, start), (n - end, width))
                .copy_from(&columns);
            let (_, rest) = lower.as_mut_slice().split_at_mut(end * n);
            (rest.par_chunks_mut(BLOCK * n).enumerate()).for_each(|(block, rest)| {
                let (first, count) = (block * BLOCK, rest.len() / n);
                let left = columns.rows(first, n - end - first);
                let right = panel.columns(first, count);
                DMatrixViewMut::from_slice(rest, n, count)
                    .rows_mut(end + first, n - end - first)
                    .gemm(-1.0, &left, &right, 1.0);
            });
        }
        Some(Self {
            lower,
            upper,
            inverses,
        })
    }

    /// n.
    fn order(&self) -> usize {
        self.lower.nrows()
    }

    /// First row and width of each diagonal block, with its inverse.
    fn blocks(
        &self,
    ) -> impl DoubleEndedIterator<Item = (usize, usize, &DMatrix<f64>)> + ExactSizeIterator {
        let blocks = self.inverses.iter().enumerate();
        blocks.map(|(block, inverse)| (block * BLOCK, inverse.nrows(), inverse))
    }

    /// `ln det A`.
    pub fn ln_determinant(&self) -> f64 {
        2.0 * self.lower.diagonal().iter().map(|l| l.ln()).sum::<f64>()
    }

    /// `L^-1 b`, `b` [n, m].
    pub fn solve_lower(&self, b: &DMatrix<f64>) -> DMatrix<f64> {
        self.by_columns(b, |mut x| self.solve_lower_from(0, &mut x))
    }

    /// Solves `L x = b` in place, of the block `first` on: what is above it in b is zero.
    fn solve_lower_from(&self, first: usize, x: &mut DMatrixViewMut<f64>) {
        for (start, width, inverse) in self.blocks().skip(first) {
            let solved = inverse * x.rows(start, width);
            x.rows_mut(start, width).copy_from(&solved);
            let end = start + width;
            let below = self.lower.view((end, start), (self.order() - end, width));
            (x.rows_mut(end, self.order() - end)).gemm(-1.0, &below, &solved, 1.0);
        }
    }

    /// `L^-T b`, `b` [n, m].
    pub fn solve_upper(&self, b: &DMatrix<f64>) -> DMatrix<f64> {
        self.by_columns(b, |mut x| {
            for (start, width, inverse) in self.blocks().rev() {
                let end = start + width;
                let mut right = x.rows(start, width).into_owned();
                let beside = self.upper.view((start, end), (width, self.order() - end));
                right.gemm(-1.0, &beside, &x.rows(end, self.order() - end), 1.0);
                x.rows_mut(start, width).copy_from(&inverse.tr_mul(&right));
            }
        })
    }

    /// `A^-1 b`, `b` [n, m].
    pub fn solve(&self, b: &DMatrix<f64>) -> DMatrix<f64> {
        self.solve_upper(&self.solve_lower(b))
    }

    /// `A^-1 b`, `b` `[n]`.
    pub fn solve_vector(&self, b: &DVector<f64>) -> DVector<f64> {
        let column = DMatrix::from_column_slice(b.len(), 1, b.as_slice());
        self.solve(&column).column(0).into_owned()
    }

    /// What `solve` makes of the columns of `b`, a block of them at a time.
    fn by_columns(
        &self,
        b: &DMatrix<f64>,
        solve: impl Fn(DMatrixViewMut<f64>) + Sync,
    ) -> DMatrix<f64> {
        let n = self.order();
        assert_eq!(n, b.nrows(), "rows of a right-hand side");
        let mut out = b.clone();
        if n > 0 {
            (out.as_mut_slice().par_chunks_mut(n * BLOCK)).for_each(|columns| {
                let count = columns.len() / n;
                solve(DMatrixViewMut::from_slice(columns, n, count));
            });
        }
        out
    }

    /// The lower triangle of `A^-1`; above the diagonal blocks there are zeros.
    pub fn inverse_lower(&self) -> DMatrix<f64> {
        let n = self.order();
        let mut inverse = DMatrix::identity(n, n); // of L
        (inverse
            .as_mut_slice()
            .par_chunks_mut(n.max(1) * BLOCK)
            .enumerate())
        .for_each(|(block, columns)| {
            let count = columns.len() / n;
            self.solve_lower_from(block, &mut DMatrixViewMut::from_slice(columns, n, count));
        });
        let transposed = inverse.transpose();
        let mut out = DMatrix::zeros(n, n);
        (out.as_mut_slice()
            .par_chunks_mut(n.max(1) * BLOCK)
            .enumerate())
        .for_each(|(block, columns)| {
            let (first, count) = (block * BLOCK, columns.len() / n);
            let left = transposed.view((first, first), (n - first, n - first));
            let right = inverse.view((first, first), (n - first, count));
            DMatrixViewMut::from_slice(columns, n, count)
                .rows_mut(first, n - first)
                .gemm(1.0, &left, &right, 0.0);
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Streams, normal};

    fn random(rows: usize, columns: usize, step: u64) -> DMatrix<f64> {
        let numbers = normal(&mut Streams::new(5).at("dense", step), rows * columns);
        DMatrix::from_iterator(rows, columns, numbers.into_iter().map(f64::from))
    }

    fn close(a: &DMatrix<f64>, b: &DMatrix<f64>) -> bool {
        (a - b).amax() < 1e-9 * (1.0 + b.amax())
    }

    /// Red where a block is left out or counted twice, at sizes below, at and beyond whole blocks.
    #[test]
    fn factors_solve_and_invert_as_one_dense_solve_does() {
        for (step, n) in [1, 63, 64, 65, 200].into_iter().enumerate() {
            let a = random(n, n + 3, step as u64);
            let matrix = &a * a.transpose() + DMatrix::identity(n, n);
            let factor = Factor::new(matrix.clone()).unwrap();
            let reference = matrix.clone().cholesky().unwrap();
            let b = random(n, 70, 100 + step as u64);
            assert!(close(&factor.solve(&b), &reference.solve(&b)), "{n}");
            let white = factor.solve_lower(&b);
            assert!(close(&product(&reference.l(), &white), &b), "{n}");
            let determinant = reference.ln_determinant();
            assert!(
                (factor.ln_determinant() - determinant).abs() < 1e-9 * (1.0 + determinant.abs())
            );
            let lower = |m: &DMatrix<f64>| m.lower_triangle();
            assert!(
                close(
                    &lower(&factor.inverse_lower()),
                    &lower(&reference.inverse())
                ),
                "{n}"
            );
        }
    }

    /// Red where a matrix that has no factor gets one.
    #[test]
    fn an_indefinite_matrix_has_no_factor() {
        let mut matrix = DMatrix::identity(130, 130);
        matrix[(100, 100)] = -1.0;
        assert!(Factor::new(matrix).is_none());
        let mut matrix = DMatrix::identity(3, 3);
        matrix[(1, 1)] = f64::NAN;
        assert!(Factor::new(matrix).is_none());
    }

    #[test]
    fn products_in_blocks_are_products() {
        for [rows, inner, columns] in [[1, 1, 1], [70, 3, 200], [600, 5, 20], [0, 4, 5], [3, 0, 5]]
        {
            let (a, b) = (random(rows, inner, 1), random(inner, columns, 2));
            assert!(rows == 0 || close(&product(&a, &b), &(&a * &b)));
        }
    }
}
