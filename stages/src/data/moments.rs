//! Means, variances and covariances of more rows than fit in memory, merged block by block.
//!
//! Each block is centred on its own mean, and blocks are merged by Chan, Golub and LeVeque's
//! update, so a large mean does not cancel the variance.

use nalgebra::DMatrix;
use rayon::prelude::*;
use serde::Serialize;

/// Rows per task when forming products. Fixed, so that sums do not depend on the number of cores.
const TASK_ROWS: usize = 1024;

/// First and second moments of a set of rows, divided by the number of rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moments {
    /// How many rows.
    pub rows: u64,
    /// Mean of each column, `[D]`.
    pub mean: Vec<f64>,
    /// Variance of each column, `[D]`.
    pub variance: Vec<f64>,
    /// Covariance, row-major [D, D], if requested.
    #[serde(skip)]
    pub covariance: Option<Vec<f64>>,
}

impl Moments {
    /// The moments of `rows` [n, width] in memory, with their covariance if requested.
    pub fn of_rows(rows: &[f32], width: usize, covariance: bool) -> Self {
        let mut accumulator = Accumulator::new(width, covariance);
        accumulator.add(rows);
        accumulator.moments()
    }
}

/// Accumulates the moments of rows block by block.
#[derive(Debug, Clone)]
pub(super) struct Accumulator {
    rows: u64,
    mean: Vec<f64>,
    squares: Vec<f64>, // sum of (x - mean)^2 per column
    products: Option<DMatrix<f64>>,
    min: Vec<f64>,
    max: Vec<f64>,
}

impl Accumulator {
    pub(super) fn new(width: usize, covariance: bool) -> Self {
        Self {
            rows: 0,
            mean: vec![0.0; width],
            squares: vec![0.0; width],
            products: covariance.then(|| DMatrix::zeros(width, width)),
            min: vec![f64::INFINITY; width],
            max: vec![f64::NEG_INFINITY; width],
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Smallest value of each column.
    pub(super) fn min(&self) -> &[f64] {
        &self.min
    }

    /// Largest value of each column.
    pub(super) fn max(&self) -> &[f64] {
        &self.max
    }

    /// Adds finite rows, row-major [n, width].
    pub(super) fn add(&mut self, rows: &[f32]) {
        let width = self.mean.len();
        let count = rows.len() / width;
        if count == 0 {
            return;
        }
        let mut block = Self::new(width, false);
        block.rows = count as u64;
        // Extremes are exact in f32, which fits twice as many into a vector.
        let mut low = vec![f32::INFINITY; width];
        let mut high = vec![f32::NEG_INFINITY; width];
        for row in rows.chunks_exact(width) {
            for (mean, &value) in block.mean.iter_mut().zip(row) {
                *mean += f64::from(value);
            }
            for ((low, high), &value) in low.iter_mut().zip(&mut high).zip(row) {
                *low = if value < *low { value } else { *low };
                *high = if value > *high { value } else { *high };
            }
        }
        block.min = low.into_iter().map(f64::from).collect();
        block.max = high.into_iter().map(f64::from).collect();
        block.mean.iter_mut().for_each(|m| *m /= count as f64);
        for row in rows.chunks_exact(width) {
            for ((square, mean), &value) in block.squares.iter_mut().zip(&block.mean).zip(row) {
                let centred = f64::from(value) - mean;
                *square += centred * centred;
            }
        }
        if self.products.is_some() {
            block.products = Some(products(rows, &block.mean));
        }
        self.merge(&block);
    }

    /// Adds the rows of another accumulator. Covariances are kept only if both have them.
    pub(super) fn merge(&mut self, other: &Self) {
        if other.rows == 0 {
            return;
        }
        let (a, b) = (self.rows as f64, other.rows as f64);
        let weight = a * b / (a + b);
        let shift: Vec<f64> = other
            .mean
            .iter()
            .zip(&self.mean)
            .map(|(theirs, ours)| theirs - ours)
            .collect();
        match (&mut self.products, &other.products) {
            (Some(ours), Some(theirs)) => {
                *ours += theirs;
                for (j, &right) in shift.iter().enumerate() {
                    for (i, &left) in shift.iter().enumerate() {
                        ours[(i, j)] += weight * left * right;
                    }
                }
            }
            (ours, _) => *ours = None,
        }
        for (column, &shift) in shift.iter().enumerate() {
            self.mean[column] += shift * b / (a + b);
            self.squares[column] += other.squares[column] + weight * shift * shift;
            self.min[column] = self.min[column].min(other.min[column]);
            self.max[column] = self.max[column].max(other.max[column]);
        }
        self.rows += other.rows;
    }

    pub(super) fn moments(&self) -> Moments {
        let n = (self.rows as f64).max(1.0);
        Moments {
            rows: self.rows,
            mean: self.mean.clone(),
            variance: self.squares.iter().map(|s| s / n).collect(),
            covariance: self
                .products
                .as_ref()
                .map(|p| p.iter().map(|v| v / n).collect()),
        }
    }
}

/// Sum over rows of (x - mean)(x - mean)^T.
fn products(rows: &[f32], mean: &[f64]) -> DMatrix<f64> {
    let width = mean.len();
    let parts: Vec<DMatrix<f64>> = rows
        .par_chunks(TASK_ROWS * width)
        .map(|part| {
            let centred = part
                .iter()
                .enumerate()
                .map(|(i, &v)| f64::from(v) - mean[i % width]);
            // Row-major [n, width] is column-major [width, n].
            let x = DMatrix::from_iterator(width, part.len() / width, centred);
            &x * x.transpose()
        })
        .collect();
    parts
        .into_iter()
        .fold(DMatrix::zeros(width, width), |sum, part| sum + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_merge_to_the_moments_of_all_rows() {
        // Row i is (i, i^2, 5), i = 0..10; a mean of 1e4 must not cost digits.
        let rows: Vec<f32> = (0..10)
            .flat_map(|i| [1e4 + i as f32, (i * i) as f32, 5.0])
            .collect();
        let mut split = Accumulator::new(3, true);
        split.add(&rows[..9]);
        split.add(&rows[9..12]);
        split.add(&rows[12..]);
        let moments = split.moments();
        assert_eq!(moments.rows, 10);
        assert_eq!(moments.mean, [10_004.5, 28.5, 5.0]);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} != {b}");
        close(moments.variance[0], 8.25);
        close(moments.variance[1], 15_333.0 / 10.0 - 28.5 * 28.5);
        assert_eq!(moments.variance[2], 0.0);
        let covariance = moments.covariance.as_deref().unwrap_or_default();
        close(covariance[0], 8.25);
        close(covariance[1], 2025.0 / 10.0 - 4.5 * 28.5);
        close(covariance[3], covariance[1]);
        assert_eq!((split.min()[1], split.max()[1]), (0.0, 81.0));
    }
}
