//! Linear algebra in f64: products of matrices with what is computed of their entries, and the small triangles of a
//! blocked Cholesky factorisation.

use crate::double::{Correlation, cosine_of_each};
use crate::level::for_each_level;
use crate::matmul::{Epilogue, Matrix, Onto, Plain, Target, fill_parts};

/// Where the entries of a product go: rows at distance `stride`, the first of them at the beginning.
pub struct Room<'a> {
    /// The rows.
    pub out: &'a mut [f64],
    /// The distance between rows.
    pub stride: usize,
    /// What becomes of the entries there.
    pub onto: Onto,
    /// Whether entries left of the diagonal are not wanted. Some of them are written.
    pub upper: bool,
}

impl<'a> Room<'a> {
    /// Replaces rows at distance `stride`.
    pub fn new(out: &'a mut [f64], stride: usize) -> Self {
        Self {
            out,
            stride,
            onto: Onto::Replace,
            upper: false,
        }
    }

    fn fill(self, a: Matrix<f64>, b: Matrix<f64>, epilogue: &impl Epilogue<f64>) {
        let target = Target {
            onto: self.onto,
            upper: self.upper,
            ..Target::over(self.out, self.stride)
        };
        fill_parts(a, b, 1, target, epilogue);
    }
}

/// `a b`: a [m, k], b [k, n] -> [m, n] at `room`. The order of an entry's sum depends on k only.
pub fn multiply(a: Matrix<f64>, b: Matrix<f64>, room: Room) {
    room.fill(a, b, &Plain);
}

/// `variance` times the correlation of each row of `a` [m, D] with each row of `b` [n, D], both matrices of columns:
/// [m, n] at `room`.
pub fn covariances(of: Correlation, variance: f64, [a, b]: [Matrix<f64>; 2], room: Room) {
    let epilogue = Covariances {
        of,
        variance,
        squares: [a, b].map(squared_norms),
    };
    room.fill(a, b.transposed(), &epilogue);
}

struct Covariances {
    of: Correlation,
    variance: f64,
    /// Of the rows of both sides.
    squares: [Vec<f64>; 2],
}

impl Epilogue<f64> for Covariances {
    #[inline(always)]
    fn finish(&self, row: usize, column: usize, values: &mut [f64]) {
        let [of_a, of_b] = &self.squares;
        let (of_a, of_b) = (of_a[row], &of_b[column..][..values.len()]);
        for (value, of_b) in values.iter_mut().zip(of_b) {
            let square = of_a + of_b - 2.0 * *value;
            *value = if square < 0.0 { 0.0 } else { square }; // NaN stays
        }
        self.of.of_each(self.variance, values);
    }
}

/// The squared norm of each row of a matrix of columns.
fn squared_norms(rows: Matrix<f64>) -> Vec<f64> {
    let mut squares = vec![0.0; rows.rows()];
    for column in 0..rows.columns() {
        add_squares(&mut squares, rows.column(column));
    }
    squares
}

for_each_level! {
    fn add_squares(sums: &mut [f64], values: &[f64]) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value * value;
        }
    }
}

/// `cos(a b + phases)`: a [m, k], b [k, n], `phases` `[n]` -> [m, n] at `room`.
pub fn waves(a: Matrix<f64>, b: Matrix<f64>, phases: &[f64], room: Room) {
    assert_eq!(phases.len(), b.columns(), "a phase per column");
    room.fill(a, b, &Waves(phases));
}

struct Waves<'a>(&'a [f64]);

impl Epilogue<f64> for Waves<'_> {
    #[inline(always)]
    fn finish(&self, _: usize, column: usize, values: &mut [f64]) {
        for (value, phase) in values.iter_mut().zip(&self.0[column..]) {
            *value += phase;
        }
        cosine_of_each(values);
    }
}

/// Replaces the lower triangle of `matrix` [n, n], in columns at distance n, by its Cholesky factor L, and writes the
/// lower triangle of `L^-1` to `inverse`, in rows at distance n, which must have zeros above the diagonal. Whether the
/// matrix is positive definite.
///
/// # Panics
/// If the matrices are not of order n.
pub fn small_factor(n: usize, matrix: &mut [f64], inverse: &mut [f64]) -> bool {
    assert!(
        matrix.len() == n * n && inverse.len() == n * n,
        "square matrices"
    );
    let mut definite = true;
    small_factor_of(n, matrix, inverse, &mut definite);
    definite
}

for_each_level! {
    fn small_factor_of(n: usize, matrix: &mut [f64], inverse: &mut [f64], definite: &mut bool) {
        for j in 0..n {
            let (before, column) = matrix.split_at_mut(j * n);
            let column = &mut column[j..n];
            subtract_all(column, |k| before[k * n + j], |k| &before[k * n + j..], j);
            if !(column[0] > 0.0 && column[0].is_finite()) {
                *definite = false;
                return;
            }
            let pivot = column[0].sqrt();
            column.iter_mut().for_each(|value| *value /= pivot);
            column[0] = pivot;
        }
        for i in 0..n {
            let (before, row) = inverse.split_at_mut(i * n);
            let row = &mut row[..=i];
            row.fill(0.0);
            row[i] = 1.0;
            subtract_all(&mut row[..i], |k| matrix[k * n + i], |k| &before[k * n..], i);
            let pivot = matrix[i * n + i];
            row.iter_mut().for_each(|value| *value /= pivot);
        }
    }
}

/// Subtracts the multiples by `factor` of `count` rows from `values`, in order and several at once.
#[inline(always)]
fn subtract_all<'a>(
    values: &mut [f64],
    factor: impl Fn(usize) -> f64,
    row: impl Fn(usize) -> &'a [f64],
    count: usize,
) {
    let (whole, length) = (count / 4 * 4, values.len());
    for k in (0..whole).step_by(4) {
        let factors: [f64; 4] = std::array::from_fn(|i| factor(k + i));
        let [a, b, c, d]: [&[f64]; 4] = std::array::from_fn(|i| &row(k + i)[..length]);
        for i in 0..length {
            let two = values[i] - factors[0] * a[i] - factors[1] * b[i];
            values[i] = two - factors[2] * c[i] - factors[3] * d[i];
        }
    }
    for k in whole..count {
        let (factor, row) = (factor(k), &row(k)[..length]);
        for (value, other) in values.iter_mut().zip(row) {
            *value -= factor * other;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: f64) -> Vec<f64> {
        (0..count).map(|i| (i as f64 * 0.7 + seed).sin()).collect()
    }

    /// Red where entries are written to the wrong place or with the wrong sign, in either layout and on parts of a
    /// matrix, or where what is right of the diagonal is left out.
    #[test]
    fn products_go_where_they_belong() {
        let sizes: &[[usize; 3]] = match cfg!(miri) {
            true => &[[1, 1, 1], [3, 5, 2], [9, 259, 10]],
            false => &[
                [1, 1, 1],
                [3, 5, 2],
                [12, 300, 40],
                [270, 70, 33],
                [300, 515, 300],
            ],
        };
        for &[m, k, n] in sizes {
            let (a, b) = (numbers((k + 3) * m, 0.1), numbers((k + 2) * n, 0.2));
            let left = Matrix::of_columns(&a[2..], k, m, k + 3).transposed();
            let right = Matrix::of_columns(&b[1..], k, n, k + 2);
            let before = numbers(m * (n + 1), 0.3);
            for (onto, sign, kept) in [
                (Onto::Replace, 1.0, 0.0),
                (Onto::Add, 1.0, 1.0),
                (Onto::Subtract, -1.0, 1.0),
            ] {
                for upper in [false, true] {
                    let mut out = before.clone();
                    let room = Room {
                        onto,
                        upper,
                        ..Room::new(&mut out, n + 1)
                    };
                    multiply(left, right, room);
                    for i in 0..m {
                        for j in if upper { i.min(n) } else { 0 }..n {
                            let terms =
                                (0..k).map(|p| a[2 + i * (k + 3) + p] * b[1 + j * (k + 2) + p]);
                            let at = i * (n + 1) + j;
                            let exact = kept * before[at] + sign * terms.sum::<f64>();
                            assert!(
                                (out[at] - exact).abs() < 1e-12 * k as f64,
                                "{m} {k} {n} {i} {j}"
                            );
                        }
                        assert_eq!(out[i * (n + 1) + n], before[i * (n + 1) + n]);
                    }
                }
            }
        }
    }

    /// Red where a distance is of another pair, the variance is forgotten, or a phase belongs to another column.
    #[test]
    fn covariances_and_waves_are_those_of_each_pair() {
        let (m, d, n) = (17, 5, 21);
        let (a, b) = (numbers(m * d, 0.1), numbers(n * d, 0.2));
        let sides = [
            Matrix::of_columns(&a, m, d, m),
            Matrix::of_columns(&b, n, d, n),
        ];
        let mut out = vec![0.0; m * n];
        covariances(Correlation::Gaussian, 1.7, sides, Room::new(&mut out, n));
        let phases = numbers(n, 0.4);
        let mut of_waves = vec![0.0; m * n];
        waves(
            sides[0],
            sides[1].transposed(),
            &phases,
            Room::new(&mut of_waves, n),
        );
        for i in 0..m {
            for j in 0..n {
                let pairs = (0..d).map(|p| (a[p * m + i], b[p * n + j]));
                let square: f64 = pairs.clone().map(|(a, b)| (a - b).powi(2)).sum();
                let exact = 1.7 * (-0.5 * square).exp();
                assert!((out[i * n + j] - exact).abs() < 1e-13);
                let inner: f64 = pairs.map(|(a, b)| a * b).sum();
                assert!((of_waves[i * n + j] - (inner + phases[j]).cos()).abs() < 1e-13);
            }
        }
    }
}
