//! Dormand-Prince 5(4): an explicit Runge-Kutta pair with adaptive steps and first-same-as-last
//! evaluation (Dormand & Prince 1980; step control as in Hairer, Norsett & Wanner, II.4).
//!
//! The state is a batch of points on a device that share one step size: no crate at hand integrates
//! a batched tensor without moving it to the host at every stage.

use crate::error::{Error, Result};
use crate::tensors::scalar;
use burn::tensor::Tensor;

/// A batch of points [n, d] and a quantity integrated along each of them `[n]`.
#[derive(Debug, Clone)]
pub struct OdeState {
    /// The points.
    pub x: Tensor<2>,
    /// The integral.
    pub integral: Tensor<1>,
}

/// The largest local error of a step: for each entry `absolute + relative * |entry|`.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    /// Error allowed anywhere.
    pub absolute: f64,
    /// Error allowed per unit of the entry.
    pub relative: f64,
}

/// The end of an integration and what it cost.
#[derive(Debug)]
pub struct Solution {
    /// The state at the end.
    pub state: OdeState,
    /// Evaluations of the right-hand side.
    pub evaluations: u64,
    /// Steps whose error was within tolerance.
    pub accepted: u64,
    /// Steps repeated with a smaller size.
    pub rejected: u64,
}

const C: [f64; 7] = [0.0, 1.0 / 5.0, 3.0 / 10.0, 4.0 / 5.0, 8.0 / 9.0, 1.0, 1.0];
const A: [&[f64]; 7] = [
    &[],
    &[1.0 / 5.0],
    &[3.0 / 40.0, 9.0 / 40.0],
    &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
    &[
        19372.0 / 6561.0,
        -25360.0 / 2187.0,
        64448.0 / 6561.0,
        -212.0 / 729.0,
    ],
    &[
        9017.0 / 3168.0,
        -355.0 / 33.0,
        46732.0 / 5247.0,
        49.0 / 176.0,
        -5103.0 / 18656.0,
    ],
    &[
        35.0 / 384.0,
        0.0,
        500.0 / 1113.0,
        125.0 / 192.0,
        -2187.0 / 6784.0,
        11.0 / 84.0,
    ],
];
/// Fifth-order weights minus fourth-order weights.
const E: [f64; 7] = [
    71.0 / 57600.0,
    0.0,
    -71.0 / 16695.0,
    71.0 / 1920.0,
    -17253.0 / 339200.0,
    22.0 / 525.0,
    -1.0 / 40.0,
];

/// Steps after which an integration is given up.
const MOST_STEPS: u64 = 100_000;

impl OdeState {
    /// `self + h sum_i weights[i] slopes[i]`.
    fn advance(&self, h: f64, weights: &[f64], slopes: &[OdeState]) -> Self {
        let mut sum = self.clone();
        for (weight, slope) in weights.iter().zip(slopes) {
            if *weight != 0.0 {
                sum.x = sum.x + slope.x.clone().mul_scalar(h * weight);
                sum.integral = sum.integral + slope.integral.clone().mul_scalar(h * weight);
            }
        }
        sum
    }
}

/// The local error of a step as a share of the tolerance: the root mean square over a point's
/// entries, the largest over points, so that every point meets the tolerance.
fn error_share(
    before: &OdeState,
    after: &OdeState,
    h: f64,
    slopes: &[OdeState],
    tolerance: Tolerance,
) -> Result<f64> {
    let zero = OdeState {
        x: before.x.zeros_like(),
        integral: before.integral.zeros_like(),
    };
    let error = zero.advance(h, &E, slopes);
    let scale = |a: Tensor<2>, b: Tensor<2>| {
        a.abs().max_pair(b.abs()) * tolerance.relative + tolerance.absolute
    };
    let x = (error.x / scale(before.x.clone(), after.x.clone())).square();
    let integral = |state: &OdeState| state.integral.clone().unsqueeze_dim::<2>(1);
    let along =
        (error.integral.unsqueeze_dim::<2>(1) / scale(integral(before), integral(after))).square();
    scalar(x.mean_dim(1).max_pair(along).max().sqrt())
}

/// Integrates `slope(x, t) = (dx/dt, d integral/dt)` from `from` to `to` (either may be larger).
///
/// # Errors
/// When the state stops being finite, the step size underflows, or `slope` fails.
pub fn dormand_prince(
    mut slope: impl FnMut(Tensor<2>, f64) -> Result<(Tensor<2>, Tensor<1>)>,
    start: OdeState,
    from: f64,
    to: f64,
    tolerance: Tolerance,
) -> Result<Solution> {
    let span = to - from;
    let mut evaluate = |state: &OdeState, time: f64| -> Result<OdeState> {
        let (x, integral) = slope(state.x.clone(), time)?;
        Ok(OdeState { x, integral })
    };
    let mut solution = Solution {
        evaluations: 1,
        accepted: 0,
        rejected: 0,
        state: start,
    };
    // All positions are shares of the span, so that both directions read the same.
    let (mut done, mut step) = (0.0f64, 0.01f64);
    let mut first = evaluate(&solution.state, from)?;
    while done < 1.0 {
        if solution.accepted + solution.rejected >= MOST_STEPS || step < 1e-9 {
            return Err(Error::Numerical(format!(
                "the ODE solver stopped at t = {:.6} after {} steps (step size {:.1e}): the \
                 velocity is not smooth enough for tolerance {:e} in this precision; loosen the \
                 tolerance",
                from + done * span,
                solution.accepted,
                step * span.abs(),
                tolerance.absolute,
            )));
        }
        let last = done + step >= 1.0;
        let share = if last { 1.0 - done } else { step };
        let h = share * span;
        let mut slopes = vec![first.clone()];
        let mut next = solution.state.clone();
        for stage in 1..7 {
            next = solution.state.advance(h, A[stage], &slopes);
            slopes.push(evaluate(&next, from + (done + C[stage] * share) * span)?);
            solution.evaluations += 1;
        }
        let error = error_share(&solution.state, &next, h, &slopes, tolerance)?;
        if !error.is_finite() && share < 1e-6 {
            return Err(Error::Numerical(format!(
                "the ODE solution stopped being finite at t = {:.6}",
                from + done * span
            )));
        }
        let factor = if error.is_finite() {
            (0.9 * error.max(1e-10).powf(-0.2)).clamp(0.2, 5.0)
        } else {
            0.1
        };
        if error <= 1.0 {
            solution.accepted += 1;
            solution.state = next;
            first = slopes.pop().expect("seven slopes");
            done = if last { 1.0 } else { done + share };
            step = share * factor;
        } else {
            solution.rejected += 1;
            step = share * factor.min(0.9);
        }
    }
    Ok(solution)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::{from_f64, to_f64};
    use burn::tensor::{DType, Device};

    fn decay(tolerance: f64) -> (f64, u64) {
        let device = Device::flex();
        let start = OdeState {
            x: from_f64(vec![1.0, 2.0], [1, 2], DType::F64, &device),
            integral: from_f64(vec![0.0], [1], DType::F64, &device),
        };
        // x' = -x, integral' = t^2
        let tolerance = Tolerance {
            absolute: tolerance,
            relative: tolerance,
        };
        let solution = dormand_prince(
            |x, t| {
                let rate = from_f64(vec![t * t], [1], DType::F64, &x.device());
                Ok((x.neg(), rate))
            },
            start,
            1.0,
            -2.0,
            tolerance,
        )
        .unwrap();
        let x = to_f64(solution.state.x).unwrap();
        let integral = to_f64(solution.state.integral).unwrap()[0];
        let worst = [
            (x[0] / 3f64.exp() - 1.0).abs(),
            (x[1] / (2.0 * 3f64.exp()) - 1.0).abs(),
            (integral + 3.0).abs(),
        ];
        (worst.into_iter().fold(0.0, f64::max), solution.evaluations)
    }

    #[test]
    fn integrates_backwards_to_the_closed_form_within_tolerance() {
        assert!(decay(1e-6).0 < 1e-5);
        assert!(decay(1e-10).0 < 1e-9);
    }

    #[test]
    fn cost_grows_with_the_fifth_root_of_the_tolerance() {
        let (coarse, fine) = (decay(1e-5).1 as f64, decay(1e-10).1 as f64);
        let growth = fine / coarse;
        assert!((4.0..20.0).contains(&growth), "{coarse} -> {fine}");
    }
}
