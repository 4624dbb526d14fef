//! Products and Cholesky factors of dense matrices in f64, by blocks of columns.
//!
//! The order of every sum depends on sizes only, so that results do not depend on the number of threads.

use latent_align_kernels::{Matrix, Onto, Room, multiply, small_factor};
use nalgebra::{DMatrix, DVector};

/// Columns of a block.
const BLOCK: usize = 64;

/// `matrix` for the kernels.
pub(crate) fn view(matrix: &DMatrix<f64>) -> Matrix<'_, f64> {
    let (rows, columns) = matrix.shape();
    Matrix::of_columns(matrix.as_slice(), rows, columns, rows)
}

/// `a b`.
///
/// # Panics
/// Where `a` has not as many columns as `b` has rows.
pub(crate) fn product(a: &DMatrix<f64>, b: &DMatrix<f64>) -> DMatrix<f64> {
    let mut out = DMatrix::zeros(a.nrows(), b.ncols());
    // the kernel's rows are our columns
    let (left, right) = (view(b).transposed(), view(a).transposed());
    multiply(left, right, Room::new(out.as_mut_slice(), a.nrows()));
    out
}

/// A Cholesky factor: `L L^T = A` with L lower triangular.
#[derive(Debug, Clone)]
pub(crate) struct Factor {
    /// L, whose entries above the diagonal mean nothing.
    lower: DMatrix<f64>,
    /// Inverses of the diagonal blocks of L, in rows.
    inverses: Vec<Vec<f64>>,
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
        let mut inverses = Vec::with_capacity(n.div_ceil(BLOCK));
        for start in (0..n).step_by(BLOCK) {
            let end = (start + BLOCK).min(n);
            let (width, rest) = (end - start, n - end);
            let mut diagonal = lower.view((start, start), (width, width)).into_owned();
            let mut inverse = vec![0.0; width * width];
            if !small_factor(width, diagonal.as_mut_slice(), &mut inverse) {
                return None;
            }
            (lower.view_mut((start, start), (width, width))).copy_from(&diagonal);
            // what is below the diagonal block: A L^-T
            let below = lower.view((end, start), (rest, width)).into_owned();
            let (done, trailing) = lower.as_mut_slice().split_at_mut(end * n);
            if rest > 0 {
                let panel = &mut done[start * n + end..];
                let right = view(&below).transposed();
                let inverse = Matrix::new(&inverse, width, width);
                multiply(inverse, right, Room::new(panel, n));
                let panel = Matrix::of_columns(panel, rest, width, n);
                let room = Room {
                    onto: Onto::Subtract,
                    upper: true,
                    ..Room::new(&mut trailing[end..], n)
                };
                multiply(panel, panel.transposed(), room);
            }
            inverses.push(inverse);
        }
        Some(Self { lower, inverses })
    }

    /// n.
    fn order(&self) -> usize {
        self.lower.nrows()
    }

    /// First row, first row after it, and inverse of each diagonal block.
    fn blocks(&self) -> impl DoubleEndedIterator<Item = (usize, usize, Matrix<'_, f64>)> {
        let blocks = self.inverses.iter().enumerate();
        blocks.map(|(block, inverse)| {
            let start = block * BLOCK;
            let width = BLOCK.min(self.order() - start);
            (start, start + width, Matrix::new(inverse, width, width))
        })
    }

    /// L below the diagonal block of the columns `start..end`.
    fn below(&self, start: usize, end: usize) -> Matrix<'_, f64> {
        let n = self.order();
        let values = &self.lower.as_slice()[start * n..];
        Matrix::of_columns(&values[end.min(values.len())..], n - end, end - start, n)
    }

    /// `ln det A`.
    pub fn ln_determinant(&self) -> f64 {
        2.0 * self.lower.diagonal().iter().map(|l| l.ln()).sum::<f64>()
    }

    /// `L^-1 b`, `b` [n, m].
    pub fn solve_lower(&self, b: &DMatrix<f64>) -> DMatrix<f64> {
        let (mut x, m) = (b.clone(), b.ncols());
        self.solve_lower_in_place(&mut x, |_| m);
        x
    }

    /// Solves `L x = b` in place. After a block of rows that ends at `end`, `columns(end)` columns are not zero.
    fn solve_lower_in_place(&self, x: &mut DMatrix<f64>, columns: impl Fn(usize) -> usize) {
        let n = self.order();
        assert_eq!(n, x.nrows(), "rows of a right-hand side");
        if x.is_empty() {
            return;
        }
        for (start, end, inverse) in self.blocks() {
            let (m, width) = (columns(end), end - start);
            let x = x.as_mut_slice();
            let block = Matrix::of_columns(&x[start..], width, m, n).transposed();
            let mut solved = DMatrix::zeros(width, m);
            let room = Room::new(solved.as_mut_slice(), width);
            multiply(block, inverse.transposed(), room);
            for (x, solved) in x.chunks_exact_mut(n).zip(solved.column_iter()) {
                x[start..end].copy_from_slice(solved.as_slice());
            }
            let room = Room {
                onto: Onto::Subtract,
                ..Room::new(&mut x[end..], n)
            };
            let below = self.below(start, end).transposed();
            multiply(view(&solved).transposed(), below, room);
        }
    }

    /// `L^-T b`, `b` [n, m].
    pub fn solve_upper(&self, b: &DMatrix<f64>) -> DMatrix<f64> {
        let (n, m) = (self.order(), b.ncols());
        assert_eq!(n, b.nrows(), "rows of a right-hand side");
        let mut out = b.clone();
        if b.is_empty() {
            return out;
        }
        for (start, end, inverse) in self.blocks().rev() {
            let x = out.as_mut_slice();
            let solved = Matrix::of_columns(&x[end..], n - end, m, n).transposed();
            let mut right = DMatrix::zeros(end - start, m);
            let room = Room::new(right.as_mut_slice(), end - start);
            multiply(solved, self.below(start, end), room);
            for (x, right) in x.chunks_exact(n).zip(right.column_iter_mut()) {
                (right.into_iter().zip(&x[start..end])).for_each(|(right, x)| *right = x - *right);
            }
            let room = Room::new(&mut x[start..], n);
            multiply(view(&right).transposed(), inverse, room);
        }
        out
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

    /// The lower triangle of `A^-1`; above the diagonal blocks there are zeros.
    pub fn inverse_lower(&self) -> DMatrix<f64> {
        let n = self.order();
        let mut inverse = DMatrix::identity(n, n); // of L
        self.solve_lower_in_place(&mut inverse, |end| end);
        let mut out = DMatrix::zeros(n, n);
        for (start, end, _) in self.blocks() {
            let inverse = &inverse.as_slice()[start..];
            let left = Matrix::of_columns(inverse, n - start, end, n).transposed();
            let right = Matrix::of_columns(&inverse[start * n..], n - start, end - start, n);
            multiply(left, right, Room::new(&mut out.as_mut_slice()[start..], n));
        }
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

    /// Red where a place beyond the end of no columns is read.
    #[test]
    fn no_right_hand_sides_have_no_solutions() {
        let factor = Factor::new(DMatrix::identity(70, 70)).unwrap();
        assert_eq!(factor.solve(&DMatrix::zeros(70, 0)).shape(), (70, 0));
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
