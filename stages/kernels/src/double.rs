//! Elementary functions of many numbers in f64, as Gaussian processes need them.

use crate::level::for_each_level;
use crate::parallel::*;

/// Numbers in one task.
const CHUNK: usize = 1 << 10;

/// 1.5 * 2^52: adding it rounds to an integer, which the low bits then hold.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// `exp(x)` to 2 units in the last place; 0 for x < -708, and saturates for x > 709. Cody and Waite's reduction, then a
/// polynomial of degree 12 (Taylor, |r| <= ln 2 / 2).
#[inline(always)]
fn exponential(x: f64) -> f64 {
    let tiny = x < -708.0;
    let x = x.clamp(-708.0, 709.0);
    let shifted = x * std::f64::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    let r = x - power * 6.931_471_803_691_238e-1 - power * 1.908_214_929_270_587_7e-10;
    let mut p = 1.0 / 479_001_600.0;
    p = p * r + 1.0 / 39_916_800.0;
    p = p * r + 1.0 / 3_628_800.0;
    p = p * r + 1.0 / 362_880.0;
    p = p * r + 1.0 / 40_320.0;
    p = p * r + 1.0 / 5_040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    let exponent = (shifted.to_bits().wrapping_sub(ROUND.to_bits())).wrapping_add(1023);
    let value = p * f64::from_bits(exponent << 52);
    if tiny { 0.0 } else { value }
}

/// Above this a cosine is the standard library's.
const FAR: f64 = 1e8;

/// `sqrt(5 square)`, at most 1e4, where its exponential is 0 already; NaN stays NaN.
#[inline(always)]
fn distance(square: f64) -> f64 {
    let r = (5.0 * square).sqrt();
    if r > 1e4 { 1e4 } else { r }
}

/// `cos(x)` to an absolute error of 1e-15, for |x| below [`FAR`]: `(-1)^k cos(x - k pi)` with pi in three parts, of which the
/// first two have 27 bits, and the Taylor polynomial of degree 24 for |x - k pi| <= pi / 2.
#[inline(always)]
fn cosine(x: f64) -> f64 {
    let shifted = x * std::f64::consts::FRAC_1_PI + ROUND;
    let turns = shifted - ROUND;
    let r = x
        - turns * 3.141_592_651_605_606
        - turns * 1.984_187_147_918_703_4e-9
        - turns * 1.144_237_745_221_966_4e-17;
    let square = r * r;
    let mut p = 1.0 / 620_448_401_733_239_439_360_000.0;
    p = p * square - 1.0 / 1_124_000_727_777_607_680_000.0;
    p = p * square + 1.0 / 2_432_902_008_176_640_000.0;
    p = p * square - 1.0 / 6_402_373_705_728_000.0;
    p = p * square + 1.0 / 20_922_789_888_000.0;
    p = p * square - 1.0 / 87_178_291_200.0;
    p = p * square + 1.0 / 479_001_600.0;
    p = p * square - 1.0 / 3_628_800.0;
    p = p * square + 1.0 / 40_320.0;
    p = p * square - 1.0 / 720.0;
    p = p * square + 1.0 / 24.0;
    p = p * square - 0.5;
    p = p * square + 1.0;
    // odd turns change the sign
    f64::from_bits(p.to_bits() ^ (shifted.to_bits() << 63))
}

/// Replaces each number by its cosine.
#[inline(always)]
pub(crate) fn cosine_of_each(x: &mut [f64]) {
    let far = x.iter().filter(|x| x.abs() >= FAR).count();
    for x in x.iter_mut() {
        // those that are too large are left for the loop below
        *x = if x.abs() < FAR { cosine(*x) } else { *x };
    }
    if far > 0 {
        for x in x.iter_mut().filter(|x| x.abs() >= FAR) {
            *x = x.cos();
        }
    }
}

/// A correlation as a function of the squared distance, in squared lengthscales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correlation {
    /// `exp(-square / 2)`.
    Gaussian,
    /// Matérn's of smoothness 5/2: `(1 + r + r^2 / 3) exp(-r)` with r = sqrt(5 square).
    Matern,
}

impl Correlation {
    /// Replaces each square by `scale` times the correlation.
    #[inline(always)]
    pub(crate) fn of_each(self, scale: f64, squares: &mut [f64]) {
        match self {
            Self::Gaussian => {
                for square in squares {
                    *square = scale * exponential(-0.5 * *square);
                }
            }
            Self::Matern => {
                for square in squares {
                    let r = distance(*square);
                    *square = scale * ((1.0 + r + r * r / 3.0) * exponential(-r));
                }
            }
        }
    }

    /// As [`Self::of_each`] without a scale, and writes the derivatives by the square to `slopes`.
    #[inline(always)]
    fn of_each_with_slopes(self, squares: &mut [f64], slopes: &mut [f64]) {
        match self {
            Self::Gaussian => {
                for (square, slope) in squares.iter_mut().zip(slopes) {
                    *square = exponential(-0.5 * *square);
                    *slope = -0.5 * *square;
                }
            }
            Self::Matern => {
                for (square, slope) in squares.iter_mut().zip(slopes) {
                    let r = distance(*square);
                    let e = exponential(-r);
                    *square = (1.0 + r + r * r / 3.0) * e;
                    *slope = -5.0 / 6.0 * (1.0 + r) * e;
                }
            }
        }
    }
}

for_each_level! {
    /// The rows from `first` on.
    fn weighted_chunk(
        of: Correlation,
        first: usize,
        squares: &[f64],
        weights: &[f64],
        correlations: &mut [f64],
        slopes: &mut [f64],
    ) {
        correlations.fill(0.0);
        let rows = squares.len() / weights.len();
        for (column, weight) in squares.chunks_exact(rows).zip(weights) {
            for (sum, square) in correlations.iter_mut().zip(&column[first..]) {
                *sum += square * weight;
            }
        }
        of.of_each_with_slopes(correlations, slopes);
    }
}

/// The correlations at the weighted sums of the columns of `squares` [n, T], and their derivatives by the sum.
///
/// # Panics
/// If there are not as many squares, correlations or slopes.
pub fn weighted_correlations(
    of: Correlation,
    squares: &[f64],
    weights: &[f64],
    correlations: &mut [f64],
    slopes: &mut [f64],
) {
    let n = correlations.len();
    assert!(
        n == slopes.len() && n * weights.len() == squares.len(),
        "columns of n rows"
    );
    let parts = (
        correlations.par_chunks_mut(CHUNK),
        slopes.par_chunks_mut(CHUNK),
    );
    let numbered = (Numbers(usize::MAX), parts.0, parts.1);
    numbered.for_each(|(chunk, correlations, slopes)| {
        weighted_chunk(of, chunk * CHUNK, squares, weights, correlations, slopes);
    });
}

/// Parts of a sum, which the compiler keeps in vectors.
const LANES: usize = 16;

for_each_level! {
    /// The inner products of the rows from `first` on.
    fn inner_products_chunk(first: usize, columns: &[f64], vector: &[f64], rows: usize, sums: &mut [f64]) {
        for (column, out) in columns.chunks_exact(rows).zip(sums) {
            let column = &column[first..][..vector.len()];
            let mut lanes = [0.0; LANES];
            let (whole, rest) = column.as_chunks::<LANES>();
            let (of_vector, of_rest) = vector.as_chunks::<LANES>();
            for (a, b) in whole.iter().zip(of_vector) {
                for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                    *lane += a * b;
                }
            }
            let rest = rest.iter().zip(of_rest).map(|(a, b)| a * b);
            *out = lanes.iter().sum::<f64>() + rest.sum::<f64>();
        }
    }
}

/// The inner product of each column of `columns` [n, T] with `vector` `[n]`.
///
/// # Panics
/// If there are no whole columns.
pub fn inner_products(columns: &[f64], vector: &[f64]) -> Vec<f64> {
    let rows = vector.len();
    assert!(
        rows > 0 && columns.len().is_multiple_of(rows),
        "whole columns"
    );
    let count = columns.len() / rows;
    let chunks = (Numbers(usize::MAX), vector.par_chunks(CHUNK)).map(|(chunk, vector)| {
        let mut sums = vec![0.0; count];
        inner_products_chunk(chunk * CHUNK, columns, vector, rows, &mut sums);
        sums
    });
    let mut sums = vec![0.0; count];
    for part in chunks.collect() {
        sums.iter_mut()
            .zip(part)
            .for_each(|(sum, part)| *sum += part);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from `low` to `high`, fewer under Miri.
    fn between(low: f64, high: f64) -> Vec<f64> {
        let count = if cfg!(miri) { 100 } else { 20_001 };
        (0..count)
            .map(|i| low + (high - low) * i as f64 / (count - 1) as f64)
            .collect()
    }

    /// Red where a term of the series is missing, or a scale is off by a power of two.
    #[test]
    fn exponentials_are_those_of_the_standard_library() {
        for (low, high) in [(-700.0, 700.0), (-1.0, 1.0)] {
            for x in between(low, high) {
                let off = exponential(x) / x.exp() - 1.0;
                assert!(off.abs() < 1e-15, "exp({x}), off by {off}");
            }
        }
        let far = [-1e9, -800.0, f64::NEG_INFINITY];
        assert_eq!(far.map(exponential), [0.0; 3]);
        assert!(exponential(f64::NAN).is_nan());
    }

    /// Red where the sign of odd half turns is lost, or the reduction has too few digits.
    #[test]
    fn cosines_are_those_of_the_standard_library() {
        for reach in [4.0, 1e3, 1e8, 1e17] {
            let given = between(-reach, reach);
            let mut found = given.clone();
            cosine_of_each(&mut found);
            for (x, found) in given.iter().zip(found) {
                let off = (found - x.cos()).abs();
                assert!(off < 1e-15, "cos({x}), off by {off}");
            }
        }
    }

    /// Red where the slope is not the derivative of the correlation, or a column gets the weight of another one.
    #[test]
    fn slopes_are_derivatives_of_the_correlations() {
        let given = between(0.0, 40.0);
        let n = given.len();
        for of in [Correlation::Gaussian, Correlation::Matern] {
            let columns = [given.clone(), vec![1.0; n]].concat();
            let (mut correlations, mut slopes) = (vec![0.0; n], vec![0.0; n]);
            weighted_correlations(of, &columns, &[2.0, 0.0], &mut correlations, &mut slopes);
            let at = |square: f64| {
                let mut one = [square];
                of.of_each(1.0, &mut one);
                one[0]
            };
            assert_eq!(correlations[0], 1.0);
            let far = [1e6, 1e307, f64::INFINITY, f64::NAN].map(at);
            assert!(far[..3] == [0.0; 3] && far[3].is_nan(), "{far:?}");
            for (i, half) in given.iter().enumerate().skip(1) {
                let square = 2.0 * half;
                assert_eq!(correlations[i], at(square));
                let by = 2e-5 * square;
                let difference = (at(square + by) - at(square - by)) / (2.0 * by);
                let off = (slopes[i] / difference - 1.0).abs();
                assert!(off < 1e-6, "at {square}: {} {difference}", slopes[i]);
            }
        }
    }

    /// Red where rows of a chunk are left out, or columns are mixed up.
    #[test]
    fn inner_products_are_sums_of_products() {
        for n in [1, 15, 1000, 2500] {
            let vector: Vec<f64> = (0..n).map(|i| (i as f64 * 0.3).cos()).collect();
            let columns: Vec<f64> = (0..3 * n).map(|i| (i as f64).sin()).collect();
            let found = inner_products(&columns, &vector);
            for (column, found) in columns.chunks(n).zip(found) {
                let exact: f64 = column.iter().zip(&vector).map(|(a, b)| a * b).sum();
                assert!((found - exact).abs() < 1e-11, "{n}: {found} {exact}");
            }
        }
    }
}
