//! Elementary functions of many numbers in f64, as Gaussian processes need them.

use crate::level::for_each_level;
use crate::parallel::*;

/// Numbers in one task.
const CHUNK: usize = 1 << 12;

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

for_each_level! {
    fn exponentials_chunk(x: &mut [f64]) {
        for x in x {
            *x = exponential(*x);
        }
    }
}

for_each_level! {
    fn cosines_chunk(x: &mut [f64]) {
        for x in x.iter_mut() {
            // those that are too large are left for the loop below
            *x = if x.abs() < FAR { cosine(*x) } else { *x };
        }
        for x in x.iter_mut().filter(|x| x.abs() >= FAR) {
            *x = x.cos();
        }
    }
}

for_each_level! {
    fn matern_chunk(squares: &mut [f64]) {
        for square in squares {
            let r = distance(*square);
            *square = (1.0 + r + r * r / 3.0) * exponential(-r);
        }
    }
}

for_each_level! {
    fn matern_slopes_chunk(squares: &mut [f64], slopes: &mut [f64]) {
        for (square, slope) in squares.iter_mut().zip(slopes) {
            let r = distance(*square);
            let e = exponential(-r);
            *square = (1.0 + r + r * r / 3.0) * e;
            *slope = -5.0 / 6.0 * (1.0 + r) * e;
        }
    }
}

/// Replaces each number by its exponential.
pub fn exponentials(x: &mut [f64]) {
    x.par_chunks_mut(CHUNK).for_each(exponentials_chunk);
}

/// Replaces each number by its cosine.
pub fn cosines(x: &mut [f64]) {
    x.par_chunks_mut(CHUNK).for_each(cosines_chunk);
}

/// Replaces each squared distance, in squared lengthscales, by the Matérn correlation of smoothness 5/2:
/// `(1 + r + r^2 / 3) exp(-r)` with r = sqrt(5 square).
pub fn matern(squares: &mut [f64]) {
    squares.par_chunks_mut(CHUNK).for_each(matern_chunk);
}

/// As [`matern`], and writes the derivatives by the squared distance, `-5/6 (1 + r) exp(-r)`, to `slopes`.
///
/// # Panics
/// Where there are not as many slopes as squares.
pub fn matern_with_slopes(squares: &mut [f64], slopes: &mut [f64]) {
    assert_eq!(squares.len(), slopes.len(), "slopes of other squares");
    let parts = (squares.par_chunks_mut(CHUNK), slopes.par_chunks_mut(CHUNK));
    parts.for_each(|(squares, slopes)| matern_slopes_chunk(squares, slopes));
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
            let given = between(low, high);
            let mut found = given.clone();
            exponentials(&mut found);
            for (x, found) in given.iter().zip(found) {
                let off = found / x.exp() - 1.0;
                assert!(off.abs() < 1e-15, "exp({x}) = {found}, off by {off}");
            }
        }
        let mut far = [-1e9, -800.0, f64::NEG_INFINITY];
        exponentials(&mut far);
        assert_eq!(far, [0.0; 3]);
        let mut none = [f64::NAN];
        exponentials(&mut none);
        assert!(none[0].is_nan());
    }

    /// Red where the sign of odd half turns is lost, or the reduction has too few digits.
    #[test]
    fn cosines_are_those_of_the_standard_library() {
        for reach in [4.0, 1e3, 1e8, 1e17] {
            let given = between(-reach, reach);
            let mut found = given.clone();
            cosines(&mut found);
            for (x, found) in given.iter().zip(found) {
                let off = (found - x.cos()).abs();
                assert!(off < 1e-15, "cos({x}), off by {off}");
            }
        }
    }

    /// Red where the slope is not the derivative of the correlation.
    #[test]
    fn matern_slopes_are_derivatives() {
        let given = between(0.0, 40.0);
        let (mut correlations, mut slopes) = (given.clone(), vec![0.0; given.len()]);
        matern_with_slopes(&mut correlations, &mut slopes);
        let of = |square: f64| {
            let mut one = [square];
            matern(&mut one);
            one[0]
        };
        assert_eq!(correlations[0], 1.0);
        let mut far = [1e6, 1e307, f64::INFINITY, f64::NAN];
        matern(&mut far);
        assert!(far[..3] == [0.0; 3] && far[3].is_nan(), "{far:?}");
        for (i, &square) in given.iter().enumerate().skip(1) {
            assert_eq!(correlations[i], of(square));
            let by = 1e-4 * square;
            let difference = (of(square + by) - of(square - by)) / (2.0 * by);
            let off = (slopes[i] / difference - 1.0).abs();
            assert!(off < 1e-6, "at {square}: {} {difference}", slopes[i]);
        }
    }
}
