//! Dormand-Prince 5(4): an explicit Runge-Kutta pair with adaptive steps and first-same-as-last
//! evaluation (Dormand & Prince 1980; step control as in Hairer, Norsett & Wanner, II.4).
//!
//! The state is a batch of points on a device that share one step size: no crate at hand integrates
//! a batched tensor without moving it to the host at every stage.

use crate::error::{Error, Result};
use crate::tensors::scalar;
use burn::tensor::Tensor;

/// A batch of points and quantities integrated along each of them.
#[derive(Debug, Clone)]
pub struct OdeState {
    /// The points [n, d].
    pub x: Tensor<2>,
    /// The q integrals of each [n, q].
    pub integral: Tensor<2>,
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
    /// Where the accepted steps end, as shares of the interval.
    pub grid: Vec<f64>,
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
    let share = |error: Tensor<2>, a: &Tensor<2>, b: &Tensor<2>| {
        let size = a.clone().abs().max_pair(b.clone().abs());
        (error / (size * tolerance.relative + tolerance.absolute)).square()
    };
    let x = share(error.x, &before.x, &after.x).mean_dim(1);
    let along = share(error.integral, &before.integral, &after.integral).max_dim(1);
    scalar(x.max_pair(along).max().sqrt())
}

/// `slope(x, t) = (dx/dt [n, d], d integral/dt [n, q])` between two times, either of which may be
/// larger. Positions are shares of the interval, so that both directions read the same.
struct Interval<F> {
    slope: F,
    from: f64,
    to: f64,
    evaluations: u64,
}

impl<F: FnMut(Tensor<2>, f64) -> Result<(Tensor<2>, Tensor<2>)>> Interval<F> {
    fn new(slope: F, from: f64, to: f64) -> Self {
        Self {
            slope,
            from,
            to,
            evaluations: 0,
        }
    }

    fn slope_at(&mut self, state: &OdeState, position: f64) -> Result<OdeState> {
        self.evaluations += 1;
        let time = self.from + position * (self.to - self.from);
        let (x, integral) = (self.slope)(state.x.clone(), time)?;
        Ok(OdeState { x, integral })
    }

    /// One step of size `share` from `state` at `position`, where the slope is `first`: the next state
    /// and the seven slopes, the last of them at the next state.
    fn step(
        &mut self,
        state: &OdeState,
        first: OdeState,
        position: f64,
        share: f64,
    ) -> Result<(OdeState, Vec<OdeState>)> {
        let h = share * (self.to - self.from);
        let mut slopes = vec![first];
        let mut next = state.clone();
        for stage in 1..7 {
            next = state.advance(h, A[stage], &slopes);
            slopes.push(self.slope_at(&next, position + C[stage] * share)?);
        }
        Ok((next, slopes))
    }
}

/// Integrates `slope(x, t) = (dx/dt, d integral/dt)` from `from` to `to` (either may be larger).
///
/// # Errors
/// When the state stops being finite, the step size underflows, or `slope` fails.
pub fn dormand_prince(
    slope: impl FnMut(Tensor<2>, f64) -> Result<(Tensor<2>, Tensor<2>)>,
    start: OdeState,
    from: f64,
    to: f64,
    tolerance: Tolerance,
) -> Result<Solution> {
    let span = to - from;
    let mut interval = Interval::new(slope, from, to);
    let mut state = start;
    let mut first = interval.slope_at(&state, 0.0)?;
    let (mut position, mut step) = (0.0f64, 0.01f64);
    let (mut grid, mut rejected) = (Vec::new(), 0);
    while position < 1.0 {
        let accepted = grid.len() as u64;
        if accepted + rejected >= MOST_STEPS || step < 1e-9 {
            return Err(Error::Numerical(format!(
                "the ODE solver stopped at t = {:.6} after {accepted} steps (step size {:.1e}): the \
                 velocity is not smooth enough for tolerance {:e} in this precision; loosen the \
                 tolerance",
                from + position * span,
                step * span.abs(),
                tolerance.absolute,
            )));
        }
        let last = position + step >= 1.0;
        let share = if last { 1.0 - position } else { step };
        let (next, mut slopes) = interval.step(&state, first.clone(), position, share)?;
        let error = error_share(&state, &next, share * span, &slopes, tolerance)?;
        if !error.is_finite() && share < 1e-6 {
            return Err(Error::Numerical(format!(
                "the ODE solution stopped being finite at t = {:.6}",
                from + position * span
            )));
        }
        let factor = if error.is_finite() {
            (0.9 * error.max(1e-10).powf(-0.2)).clamp(0.2, 5.0)
        } else {
            0.1
        };
        if error <= 1.0 {
            state = next;
            first = slopes.pop().expect("seven slopes");
            position = if last { 1.0 } else { position + share };
            grid.push(position);
            step = share * factor;
        } else {
            rejected += 1;
            step = share * factor.min(0.9);
        }
    }
    Ok(Solution {
        state,
        evaluations: interval.evaluations,
        accepted: grid.len() as u64,
        rejected,
        grid,
    })
}

/// Integrates over steps that end at the positions `grid` (ascending shares of the interval, the last
/// one 1), without control of the error: with every step of a [`Solution`] halved, the difference
/// tells its error.
pub fn on_grid(
    slope: impl FnMut(Tensor<2>, f64) -> Result<(Tensor<2>, Tensor<2>)>,
    start: OdeState,
    from: f64,
    to: f64,
    grid: &[f64],
) -> Result<OdeState> {
    let mut interval = Interval::new(slope, from, to);
    let mut state = start;
    let mut first = interval.slope_at(&state, 0.0)?;
    let mut position = 0.0;
    for &end in grid {
        let (next, mut slopes) = interval.step(&state, first, position, end - position)?;
        state = next;
        first = slopes.pop().expect("seven slopes");
        position = end;
    }
    Ok(state)
}

/// The positions of `grid` and the middle of each of its steps.
pub fn halved(grid: &[f64]) -> Vec<f64> {
    let starts = std::iter::once(0.0).chain(grid.iter().copied());
    (starts.zip(grid))
        .flat_map(|(start, &end)| [0.5 * (start + end), end])
        .collect()
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
            integral: from_f64(vec![0.0], [1, 1], DType::F64, &device),
        };
        // x' = -x, integral' = t^2
        let tolerance = Tolerance {
            absolute: tolerance,
            relative: tolerance,
        };
        let solution = dormand_prince(
            |x, t| {
                let rate = from_f64(vec![t * t], [1, 1], DType::F64, &x.device());
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

    #[test]
    fn halving_every_step_tells_the_error() {
        // x' = x cos(t), so x(t) = exp(sin t)
        let device = Device::flex();
        let start = || OdeState {
            x: from_f64(vec![1.0], [1, 1], DType::F64, &device),
            integral: from_f64(vec![0.0], [1, 1], DType::F64, &device),
        };
        let slope = |x: Tensor<2>, t: f64| Ok((x.clone().mul_scalar(t.cos()), x));
        let value = |state: OdeState| to_f64(state.x).unwrap()[0];
        let tolerance = Tolerance {
            absolute: 1e-4,
            relative: 1e-4,
        };
        let solution = dormand_prince(slope, start(), 0.0, 3.0, tolerance).unwrap();
        let again = value(on_grid(slope, start(), 0.0, 3.0, &solution.grid).unwrap());
        let grid = halved(&solution.grid);
        assert_eq!(grid.len() as u64, 2 * solution.accepted);
        let fine = value(on_grid(slope, start(), 0.0, 3.0, &grid).unwrap());
        let (coarse, exact) = (value(solution.state), 3f64.sin().exp());
        assert!((coarse - again).abs() < 1e-12, "{coarse} {again}");
        let (error, told) = ((coarse - exact).abs(), (coarse - fine).abs());
        assert!((error / told - 1.0).abs() < 0.1, "{error} {told}");
    }
}
