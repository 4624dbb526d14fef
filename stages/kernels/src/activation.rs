//! SiLU, `silu(x) = x s(x)` with the logistic function s, GELU, `gelu(x) = x F(x)` with the normal distribution
//! function F, and their derivatives.

use crate::elementwise::{each, each_two, two_of_each};
use crate::level::for_each_level;
use std::mem::MaybeUninit;

/// `exp(x)` for x in [-87, 88], to 2 units in the last place; saturates outside. Cody and Waite's
/// reduction, then a polynomial of degree 6 (Taylor, |r| <= ln 2 / 2).
#[inline(always)]
pub(crate) fn exponential(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    let r = x - power * 0.693_359_4 + power * 2.121_944_4e-4;
    let mut p = 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    // 2^power: the low bits of `shifted` hold the integer
    let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32) + 127;
    p * f32::from_bits((exponent << 23) as u32)
}

/// `s(x) = 1 / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + exponential(-x))
}

/// `ln(1 + exp(x)) = max(x, 0) + ln(1 + e)` with e = exp(-|x|), to 2e-7: `ln(1 + e) = 2 artanh(e / (2 + e))`, its series to
/// the eleventh power of an argument of at most 1/3.
#[inline(always)]
pub(crate) fn softplus(x: f32) -> f32 {
    let e = exponential(-x.abs());
    let t = e / (2.0 + e);
    let square = t * t;
    let mut p = 1.0 / 11.0;
    p = p * square + 1.0 / 9.0;
    p = p * square + 1.0 / 7.0;
    p = p * square + 1.0 / 5.0;
    p = p * square + 1.0 / 3.0;
    p = p * square + 1.0;
    x.max(0.0) + 2.0 * t * p
}

/// The hyperbolic tangent, to 1e-7.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    2.0 / (1.0 + exponential(-2.0 * x)) - 1.0
}

/// SiLU of `x`.
#[inline(always)]
pub(crate) fn silu_of(x: f32) -> f32 {
    x / (1.0 + exponential(-x))
}

/// SiLU of `x` and its derivative `s (1 + x (1 - s))`.
#[inline(always)]
pub(crate) fn silu_and_slope(x: f32) -> (f32, f32) {
    let e = exponential(-x);
    let s = 1.0 / (1.0 + e);
    // 1 - s = e s, without cancellation
    (x * s, s * (1.0 + x * (e * s)))
}

/// F(x) of the normal distribution, and `exp(-x^2 / 2)`; F to 1e-7 (Abramowitz and Stegun 1964, 7.1.26).
#[inline(always)]
fn normal_distribution(x: f32) -> (f32, f32) {
    const HALF_SQRT: f32 = std::f32::consts::FRAC_1_SQRT_2;
    let e = exponential(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.327_591_1 * HALF_SQRT * x.abs());
    let mut p = 1.061_405_4;
    p = p * t - 1.453_152;
    p = p * t + 1.421_413_7;
    p = p * t - 0.284_496_74;
    p = p * t + 0.254_829_6;
    let tail = 0.5 * p * t * e;
    (if x < 0.0 { tail } else { 1.0 - tail }, e)
}

/// GELU of `x`, to 1e-7 x.
#[inline(always)]
pub(crate) fn gelu_of(x: f32) -> f32 {
    x * normal_distribution(x).0
}

/// 1 / sqrt(2 pi).
const DENSITY: f32 = 0.398_942_3;

for_each_level! {
    fn gelu_and_slope_chunk(x: &[f32], value: &mut [MaybeUninit<f32>], slope: &mut [MaybeUninit<f32>]) {
        for ((value, slope), &x) in value.iter_mut().zip(slope).zip(x) {
            let (f, e) = normal_distribution(x);
            value.write(x * f);
            slope.write(f + DENSITY * x * e);
        }
    }
}

for_each_level! {
    fn silu_chunk(x: &[f32], out: &mut [MaybeUninit<f32>]) {
        for (out, &x) in out.iter_mut().zip(x) {
            out.write(silu_of(x));
        }
    }
}

for_each_level! {
    fn silu_gradient_chunk(x: &[f32], gradient: &[f32], out: &mut [MaybeUninit<f32>]) {
        for ((out, &x), &g) in out.iter_mut().zip(x).zip(gradient) {
            out.write(g * silu_and_slope(x).1);
        }
    }
}

/// SiLU of each of `x`.
pub fn silu(x: &[f32]) -> Vec<f32> {
    each(x, silu_chunk)
}

/// `gradient` times the derivative of SiLU at each of `x`.
pub fn silu_gradient(x: &[f32], gradient: &[f32]) -> Vec<f32> {
    each_two(x, gradient, silu_gradient_chunk)
}

/// GELU and its derivative at each of `x`.
pub(crate) fn gelu_and_slope(x: &[f32]) -> (Vec<f32>, Vec<f32>) {
    two_of_each(x, gelu_and_slope_chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silu_and_its_slope_are_those_of_double_precision() {
        let every = if cfg!(miri) { 50 } else { 1 };
        let x: Vec<f32> = (-4000..4000)
            .step_by(every)
            .map(|i| i as f32 * 0.03)
            .collect();
        let ones = vec![1.0; x.len()];
        let (value, slope) = (silu(&x), silu_gradient(&x, &ones));
        for ((x, value), slope) in x.iter().zip(value).zip(slope) {
            let x = f64::from(*x);
            let s = 1.0 / (1.0 + (-x).exp());
            let near = |found: f32, exact: f64| {
                (f64::from(found) - exact).abs() < 4e-7 * exact.abs() + 1e-35
            };
            assert!(near(value, x * s), "silu({x}): {value}, {}", x * s);
            let exact = s * (1.0 + x * (1.0 - s));
            assert!(
                (f64::from(slope) - exact).abs() < 6e-7 * exact.abs().max(0.1),
                "{x}: {slope} {exact}"
            );
        }
    }

    /// Fails if F, its density or a sign is wrong. The reference F in f64 is computed by Simpson's rule.
    #[test]
    fn gelu_and_its_slope_are_those_of_double_precision() {
        let every = if cfg!(miri) { 200 } else { 1 };
        let x: Vec<f32> = (-600..600)
            .step_by(every)
            .map(|i| i as f32 * 0.01)
            .collect();
        let (value, slope) = gelu_and_slope(&x);
        let density = |t: f64| (-0.5 * t * t).exp() / std::f64::consts::TAU.sqrt();
        for ((x, value), slope) in x.iter().zip(value).zip(slope) {
            let x = f64::from(*x);
            let steps = 400;
            let h = x / f64::from(steps);
            let weight = |i: i32| match i {
                0 => 1.0,
                i if i == steps => 1.0,
                i if i % 2 == 1 => 4.0,
                _ => 2.0,
            };
            let integral: f64 = (0..=steps)
                .map(|i| weight(i) * density(f64::from(i) * h))
                .sum();
            let f = 0.5 + integral * h / 3.0;
            let near =
                |found: f32, exact: f64| (f64::from(found) - exact).abs() < 6e-7 * x.abs().max(1.0);
            assert!(near(value, x * f), "gelu({x}): {value}, {}", x * f);
            let exact = f + x * density(x);
            assert!(near(slope, exact), "{x}: {slope} {exact}");
        }
    }
}
