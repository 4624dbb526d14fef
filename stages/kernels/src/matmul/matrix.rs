//! Matrices in memory.

/// A matrix [rows, columns], row-major or transposed.
#[derive(Clone, Copy)]
pub struct Matrix<'a, T = f32> {
    pub(super) values: &'a [T],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// A row-major matrix [rows, columns].
    pub fn new(values: &'a [T], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "not a matrix of this shape");
        Self {
            values,
            rows,
            columns,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// A matrix [rows, columns] whose columns are `values` at distance `stride`.
    ///
    /// # Panics
    /// If there are not as many values.
    pub fn of_columns(values: &'a [T], rows: usize, columns: usize, stride: usize) -> Self {
        let last = columns.saturating_sub(1) * stride;
        assert!(
            columns == 0 || last + rows <= values.len(),
            "a matrix of fewer columns"
        );
        Self {
            values,
            rows,
            columns,
            row_stride: 1,
            column_stride: stride,
        }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Column `number` of a matrix of columns.
    ///
    /// # Panics
    /// If it has rows instead.
    pub(crate) fn column(&self, number: usize) -> &'a [T] {
        assert!(self.row_stride == 1, "a matrix of columns");
        &self.values[number * self.column_stride..][..self.rows]
    }

    /// The transpose [columns, rows].
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
