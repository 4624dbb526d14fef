//! Dormand-Prince 5(4): an explicit Runge-Kutta pair with adaptive steps and first-same-as-last evaluation (Dormand
//! & Prince 1980; step control as in Hairer, Norsett & Wanner, II.4).
//!
//! The state is a batch of points on a device that share one step size; no available crate integrates a batched
//! tensor without moving it to the host at every stage. Between the ends of a step the solution is the pair's
//! continuous extension of order four (Hairer, Norsett & Wanner, II.6).

use crate::error::{Error, Result};
use crate::tensors::{from_f64, indices, scalar, stacked};
use burn::tensor::Tensor;
use std::cell::OnceCell;

/// The largest local error of a step: for each entry `absolute + relative * |entry|`.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    pub absolute: f64,
    pub relative: f64,
}

/// A solution [n, d] over a whole interval, and its cost.
#[derive(Debug)]
pub struct Trajectory {
    steps: Vec<Step>,
    end: Tensor<2>,
    /// Evaluations of the right-hand side.
    pub evaluations: u64,
    /// Steps repeated with a smaller size.
    pub rejected: u64,
    /// Ends of the steps, as shares of the interval.
    pub grid: Vec<f64>,
    /// The coefficients of all steps [steps, n, d], filled on first use.
    together: OnceCell<[Tensor<3>; 5]>,
}

/// One step, as the coefficients of its continuous extension.
#[derive(Debug)]
struct Step {
    position: f64,
    share: f64,
    coefficients: [Tensor<2>; 5],
}

impl Trajectory {
    /// The points at the end of the interval [n, d].
    pub fn end(&self) -> Tensor<2> {
        self.end.clone()
    }

    /// The points [n, d] at `position`, a share of the interval.
    pub fn at(&self, position: f64) -> Tensor<2> {
        if position >= 1.0 {
            return self.end();
        }
        let Step {
            position: start,
            share,
            coefficients: [c0, c1, c2, c3, c4],
        } = &self.steps[self.step_of(position)];
        let s = (position - start) / share;
        // c0 + s (c1 + (1 - s) (c2 + s (c3 + (1 - s) c4)))
        c0.clone()
            + c1.clone().mul_scalar(s)
            + c2.clone().mul_scalar(s * (1.0 - s))
            + c3.clone().mul_scalar(s * s * (1.0 - s))
            + c4.clone().mul_scalar(s * s * (1.0 - s) * (1.0 - s))
    }

    /// The points [K, n, d] at each of `positions` `[K]`, as [`Self::at`] returns them, with as many operations as
    /// for one position.
    pub fn at_all(&self, positions: &[f64]) -> Tensor<3> {
        let [c0, c1, c2, c3, c4] = self.together.get_or_init(|| {
            std::array::from_fn(|i| stacked(self.steps.iter().map(|s| s.coefficients[i].clone())))
        });
        let steps: Vec<usize> = positions.iter().map(|&at| self.step_of(at)).collect();
        let shares: Vec<f64> = (positions.iter().zip(&steps))
            .map(|(at, &step)| (at - self.steps[step].position) / self.steps[step].share)
            .collect();
        let device = self.end.device();
        let rows = indices(steps.iter().copied(), &device);
        let chosen = |c: &Tensor<3>| c.clone().select(0, rows.clone());
        let weighted = |c: &Tensor<3>, weight: fn(f64) -> f64| {
            let weights: Vec<f64> = shares.iter().map(|&s| weight(s)).collect();
            let dims = [weights.len(), 1, 1];
            chosen(c) * from_f64::<3>(weights, dims, self.end.dtype(), &device)
        };
        chosen(c0)
            + weighted(c1, |s| s)
            + weighted(c2, |s| s * (1.0 - s))
            + weighted(c3, |s| s * s * (1.0 - s))
            + weighted(c4, |s| s * s * (1.0 - s) * (1.0 - s))
    }

    /// The step that contains `position`.
    fn step_of(&self, position: f64) -> usize {
        let step = self.grid.partition_point(|&end| end <= position);
        step.min(self.steps.len() - 1)
    }
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

/// Weights of the slopes in the last coefficient of the continuous extension.
const D: [f64; 7] = [
    -12715105075.0 / 11282082432.0,
    0.0,
    87487479700.0 / 32700410799.0,
    -10690763975.0 / 1880347072.0,
    701980252875.0 / 199316789632.0,
    -1453857185.0 / 822651844.0,
    69997945.0 / 29380423.0,
];

/// Maximum number of steps: the trajectory is kept in memory, and meaningful flows take less than a tenth of this.
const MOST_STEPS: u64 = 10_000;

/// Maximum number of known steps whose times are announced to a slope at once, to bound its memory.
const TOLD_TOGETHER: usize = 64;

/// `h sum_i weights[i] slopes[i]`, added to `x`.
fn advance(x: Tensor<2>, h: f64, weights: &[f64], slopes: &[Tensor<2>]) -> Tensor<2> {
    let terms = weights.iter().zip(slopes).filter(|(w, _)| **w != 0.0);
    terms.fold(x, |x, (weight, slope)| {
        x + slope.clone().mul_scalar(h * weight)
    })
}

/// The local error of a step divided by the tolerance: the root mean square over a point's entries, the largest
/// over points, so that every point meets the tolerance.
fn error_share(
    before: &Tensor<2>,
    after: &Tensor<2>,
    h: f64,
    slopes: &[Tensor<2>],
    tolerance: Tolerance,
) -> Result<f64> {
    let error = advance(before.zeros_like(), h, &E, slopes);
    let size = before.clone().abs().max_pair(after.clone().abs());
    let share = error / (size * tolerance.relative + tolerance.absolute);
    scalar(share.square().mean_dim(1).max().sqrt())
}

/// `dx/dt` [n, d] of points [n, d] at a time; implemented by any function of both.
pub trait Slope {
    /// Announces the times of the next steps.
    fn expect(&mut self, _times: &[f64]) {}

    /// The slope at `x` and `time`.
    ///
    /// # Errors
    /// Errors that stop the integration.
    fn at(&mut self, x: Tensor<2>, time: f64) -> Result<Tensor<2>>;
}

impl<F: FnMut(Tensor<2>, f64) -> Result<Tensor<2>>> Slope for F {
    fn at(&mut self, x: Tensor<2>, time: f64) -> Result<Tensor<2>> {
        self(x, time)
    }
}

/// `slope(x, t) = dx/dt` [n, d] between two times in either direction. Positions are shares of the interval, so
/// that both directions are treated alike.
struct Interval<S> {
    slope: S,
    from: f64,
    to: f64,
    evaluations: u64,
}

impl<S: Slope> Interval<S> {
    fn new(slope: S, from: f64, to: f64) -> Self {
        Self {
            slope,
            from,
            to,
            evaluations: 0,
        }
    }

    fn time(&self, position: f64) -> f64 {
        self.from + position * (self.to - self.from)
    }

    fn slope_at(&mut self, x: &Tensor<2>, position: f64) -> Result<Tensor<2>> {
        self.evaluations += 1;
        self.slope.at(x.clone(), self.time(position))
    }

    /// Announces the times of steps to the slope; each step has a start and a size as shares of the interval.
    fn expect(&mut self, steps: impl IntoIterator<Item = (f64, f64)>) {
        let times: Vec<f64> = (steps.into_iter())
            .flat_map(|(position, share)| C[1..].iter().map(move |c| position + c * share))
            .map(|position| self.time(position))
            .collect();
        self.slope.expect(&times);
    }

    /// One step of size `share` from `x` at `position`, where the slope is `first`: the next points and the seven
    /// slopes, the last of them at the next points.
    fn step(
        &mut self,
        x: &Tensor<2>,
        first: Tensor<2>,
        position: f64,
        share: f64,
    ) -> Result<(Tensor<2>, Vec<Tensor<2>>)> {
        let h = share * (self.to - self.from);
        let mut slopes = vec![first];
        let mut next = x.clone();
        for stage in 1..7 {
            next = advance(x.clone(), h, A[stage], &slopes);
            slopes.push(self.slope_at(&next, position + C[stage] * share)?);
        }
        Ok((next, slopes))
    }

    /// The continuous extension of a step.
    fn extension(
        &self,
        x: Tensor<2>,
        next: Tensor<2>,
        slopes: &[Tensor<2>],
        position: f64,
        share: f64,
    ) -> Step {
        let h = share * (self.to - self.from);
        let difference = next - x.clone();
        let bend = slopes[0].clone().mul_scalar(h) - difference.clone();
        let last = slopes[6].clone().mul_scalar(h);
        let fourth = advance(x.zeros_like(), h, &D, slopes);
        Step {
            position,
            share,
            coefficients: [
                x,
                difference.clone(),
                bend.clone(),
                difference - last - bend,
                fourth,
            ],
        }
    }
}

/// Integrates `slope(x, t) = dx/dt` from `from` to `to` (in either direction), starting at `start` [n, d].
///
/// # Errors
/// If the points are no longer finite, the step size underflows, or `slope` fails.
pub fn dormand_prince(
    slope: impl Slope,
    start: Tensor<2>,
    from: f64,
    to: f64,
    tolerance: Tolerance,
) -> Result<Trajectory> {
    let span = to - from;
    let mut interval = Interval::new(slope, from, to);
    let mut x = start;
    let mut first = interval.slope_at(&x, 0.0)?;
    let (mut position, mut step) = (0.0f64, 0.01f64);
    let (mut steps, mut grid, mut rejected) = (Vec::new(), Vec::new(), 0);
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
        interval.expect([(position, share)]);
        let (next, mut slopes) = interval.step(&x, first.clone(), position, share)?;
        let error = error_share(&x, &next, share * span, &slopes, tolerance)?;
        if !error.is_finite() && share < 1e-6 {
            return Err(Error::Numerical(format!(
                "the ODE solution is no longer finite at t = {:.6}",
                from + position * span
            )));
        }
        let factor = if error.is_finite() {
            (0.9 * error.max(1e-10).powf(-0.2)).clamp(0.2, 5.0)
        } else {
            0.1
        };
        if error <= 1.0 {
            steps.push(interval.extension(x, next.clone(), &slopes, position, share));
            x = next;
            first = slopes.pop().expect("seven slopes");
            position = if last { 1.0 } else { position + share };
            grid.push(position);
            step = share * factor;
        } else {
            rejected += 1;
            step = share * factor.min(0.9);
        }
    }
    Ok(Trajectory {
        steps,
        end: x,
        evaluations: interval.evaluations,
        rejected,
        grid,
        together: OnceCell::new(),
    })
}

/// Integrates from `start` [n, d] over steps that end at the positions `grid` (ascending shares of the interval,
/// the last one 1), without error control. With every step of a [`Trajectory`] halved, the difference estimates its
/// error.
///
/// # Errors
/// If `slope` fails.
pub fn on_grid(
    slope: impl Slope,
    start: Tensor<2>,
    from: f64,
    to: f64,
    grid: &[f64],
) -> Result<Trajectory> {
    let mut interval = Interval::new(slope, from, to);
    let mut x = start;
    let mut first = interval.slope_at(&x, 0.0)?;
    let starts = std::iter::once(0.0).chain(grid.iter().copied());
    let planned: Vec<(f64, f64)> = starts.zip(grid).map(|(at, end)| (at, end - at)).collect();
    let mut steps = Vec::new();
    for together in planned.chunks(TOLD_TOGETHER) {
        interval.expect(together.iter().copied());
        for &(position, share) in together {
            let (next, mut slopes) = interval.step(&x, first, position, share)?;
            steps.push(interval.extension(x, next.clone(), &slopes, position, share));
            x = next;
            first = slopes.pop().expect("seven slopes");
        }
    }
    Ok(Trajectory {
        steps,
        end: x,
        evaluations: interval.evaluations,
        rejected: 0,
        grid: grid.to_vec(),
        together: OnceCell::new(),
    })
}

/// Integrates `start` [n, d] over `steps` equal steps, without error control: six evaluations per step, and one at
/// the start. Returns the end and the number of evaluations; the trajectory is not kept.
///
/// # Errors
/// If `slope` fails.
pub fn in_equal_steps(
    slope: impl Slope,
    start: Tensor<2>,
    from: f64,
    to: f64,
    steps: usize,
) -> Result<(Tensor<2>, u64)> {
    let mut interval = Interval::new(slope, from, to);
    let mut x = start;
    let mut first = interval.slope_at(&x, 0.0)?;
    let mut position = 0.0;
    for step in 1..=steps {
        let end = step as f64 / steps as f64;
        interval.expect([(position, end - position)]);
        let (next, mut slopes) = interval.step(&x, first, position, end - position)?;
        x = next;
        first = slopes.pop().expect("seven slopes");
        position = end;
    }
    Ok((x, interval.evaluations))
}

/// The positions of `grid` and the midpoints of its steps.
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

    fn start(values: &[f64]) -> Tensor<2> {
        from_f64(
            values.to_vec(),
            [1, values.len()],
            DType::F64,
            &Device::flex(),
        )
    }

    fn tolerance(tolerance: f64) -> Tolerance {
        Tolerance {
            absolute: tolerance,
            relative: tolerance,
        }
    }

    /// x' = -x from 1 to -2: the worst relative error at the end, and the evaluations.
    fn decay(within: f64) -> (f64, u64) {
        let start = start(&[1.0, 2.0]);
        let solution = dormand_prince(
            |x: Tensor<2>, _| Ok(x.neg()),
            start,
            1.0,
            -2.0,
            tolerance(within),
        )
        .unwrap();
        let x = to_f64(solution.end()).unwrap();
        let worst = [x[0] / 3f64.exp() - 1.0, x[1] / (2.0 * 3f64.exp()) - 1.0];
        let worst = worst.map(f64::abs).into_iter().fold(0.0, f64::max);
        (worst, solution.evaluations)
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
    fn the_solution_between_steps_is_as_good_as_at_their_ends() {
        // x' = x cos(t), so x(t) = exp(sin t)
        let slope = |x: Tensor<2>, t: f64| Ok(x.mul_scalar(t.cos()));
        for within in [1e-5, 1e-8] {
            let solution =
                dormand_prince(slope, start(&[1.0]), 0.0, 3.0, tolerance(within)).unwrap();
            let positions: Vec<f64> = (0..=300).map(|i| f64::from(i) / 300.0).collect();
            let together = to_f64(solution.at_all(&positions)).unwrap();
            for (position, together) in positions.into_iter().zip(together) {
                let found = to_f64(solution.at(position)).unwrap()[0];
                assert!(
                    (found - together).abs() < 1e-14,
                    "{position}: {found} {together}"
                );
                let exact = (3.0 * position).sin().exp();
                assert!(
                    (found - exact).abs() < 20.0 * within,
                    "{position}: {found} {exact}"
                );
            }
        }
    }

    /// x' = x cos(t), recording whether the evaluated times were announced.
    #[derive(Default)]
    struct Told {
        last: Vec<f64>,
        known: usize,
        asked: usize,
    }

    impl Slope for &mut Told {
        fn expect(&mut self, times: &[f64]) {
            self.last = times.to_vec();
        }

        fn at(&mut self, x: Tensor<2>, time: f64) -> Result<Tensor<2>> {
            self.asked += 1;
            self.known += usize::from(self.last.contains(&time));
            Ok(x.mul_scalar(time.cos()))
        }
    }

    #[test]
    fn a_slope_is_told_every_time_but_the_first_to_the_last_bit() {
        let (mut told, start) = (Told::default(), start(&[1.0]));
        let solution = dormand_prince(&mut told, start.clone(), 3.0, 0.2, tolerance(1e-8)).unwrap();
        assert!(told.asked > 60 && told.known == told.asked - 1);
        let mut told = Told::default();
        let grid = halved(&halved(&solution.grid));
        assert!(grid.len() > 2 * TOLD_TOGETHER / 3, "{}", grid.len());
        on_grid(&mut told, start, 3.0, 0.2, &grid).unwrap();
        assert_eq!(
            (told.asked, told.known),
            (6 * grid.len() + 1, 6 * grid.len())
        );
    }

    #[test]
    fn halving_every_step_tells_the_error() {
        let slope = |x: Tensor<2>, t: f64| Ok(x.mul_scalar(t.cos()));
        let value = |solution: Trajectory| to_f64(solution.end()).unwrap()[0];
        let solution = dormand_prince(slope, start(&[1.0]), 0.0, 3.0, tolerance(1e-4)).unwrap();
        let again = value(on_grid(slope, start(&[1.0]), 0.0, 3.0, &solution.grid).unwrap());
        let grid = halved(&solution.grid);
        assert_eq!(grid.len(), 2 * solution.grid.len());
        let fine = value(on_grid(slope, start(&[1.0]), 0.0, 3.0, &grid).unwrap());
        let (coarse, exact) = (value(solution), 3f64.sin().exp());
        assert!((coarse - again).abs() < 1e-12, "{coarse} {again}");
        let (error, told) = ((coarse - exact).abs(), (coarse - fine).abs());
        assert!((error / told - 1.0).abs() < 0.1, "{error} {told}");
    }
}
