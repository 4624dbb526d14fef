//! Points of several tokens.

use crate::numerics::product;
use nalgebra::DMatrix;
use rayon::prelude::*;

/// Points [n, T d] in f64.
#[derive(Debug, Clone)]
pub struct Points {
    /// T, the number of tokens per point.
    tokens: usize,
    /// [n, T d].
    values: DMatrix<f64>,
}

impl Points {
    /// The row-major points `values` [n, T d] of `tokens` tokens each.
    ///
    /// # Panics
    /// If the values are not whole points of `tokens` tokens of `width` numbers.
    pub fn new(values: &[f32], tokens: usize, width: usize) -> Self {
        let elements = tokens * width;
        assert!(elements > 0 && values.len().is_multiple_of(elements));
        let values = values.iter().map(|&value| f64::from(value));
        let values = DMatrix::from_row_iterator(values.len() / elements, elements, values);
        Self { tokens, values }
    }

    /// The number of points.
    pub fn count(&self) -> usize {
        self.values.nrows()
    }

    /// T, the number of tokens per point.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// d, the width of a token.
    pub fn width(&self) -> usize {
        self.values.ncols() / self.tokens
    }

    /// The points `chosen`, in that order.
    pub fn select(&self, chosen: &[usize]) -> Self {
        Self {
            tokens: self.tokens,
            values: self.values.select_rows(chosen),
        }
    }

    /// [n, T d], every token divided by its lengthscale.
    pub(super) fn divided(&self, lengths: &[f64]) -> DMatrix<f64> {
        let width = self.width();
        let mut values = self.values.clone();
        for (column, mut values) in values.column_iter_mut().enumerate() {
            values /= lengths[column / width];
        }
        values
    }

    /// The columns [n, d] of token `token`.
    pub(super) fn token(&self, token: usize) -> DMatrix<f64> {
        let width = self.width();
        self.values.columns(token * width, width).into_owned()
    }
}

/// Squared distances [n, m] between the rows of `a` [n, D] and those of `b` [m, D].
pub(super) fn squared_distances(a: &DMatrix<f64>, b: &DMatrix<f64>) -> DMatrix<f64> {
    let squares = |rows: &DMatrix<f64>| -> Vec<f64> {
        let mut squares = vec![0.0; rows.nrows()];
        for column in rows.column_iter() {
            for (square, value) in squares.iter_mut().zip(column.iter()) {
                *square += value * value;
            }
        }
        squares
    };
    let (of_a, of_b) = (squares(a), squares(b));
    let mut distances = product(a, &b.transpose());
    (distances.as_mut_slice().par_chunks_mut(a.nrows().max(1)))
        .zip(&of_b)
        .for_each(|(column, of_b)| {
            for (value, of_a) in column.iter_mut().zip(&of_a) {
                let square = of_a + of_b - 2.0 * *value;
                *value = if square < 0.0 { 0.0 } else { square }; // NaN stays
            }
        });
    distances
}
