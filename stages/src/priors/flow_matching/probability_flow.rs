//! Likelihoods and samples through the probability-flow ODE (Chen et al. 2018, arXiv 1806.07366).
//!
//! `log p(y) = log N(x_0; 0, I) - int_0^1 div v(x_t, t) dt` along the trajectory that ends in `x_1 = y`, found by
//! integrating backwards from y.
//!
//! A trajectory needs only the velocity, which costs a small fraction of the divergence. So the trajectory is
//! solved first, with its own steps, and the divergence is then integrated along it by a quadrature with as many
//! nodes as each point needs.

use crate::error::{Error, Result};
use crate::numerics::quadrature::{self, Integrals};
use crate::numerics::{
    Slope, Tolerance, Trajectory, dormand_prince, halved, in_equal_steps, mean, on_grid,
    standard_error,
};
use crate::priors::drawing::{Carried, Steps};
use crate::priors::field::{ROWS_PER_EVALUATION, VelocityField};
use crate::priors::prior::{
    Divergence, Halving, Nll, NllKind, NllOptions, Noised, Points, Progress, finite_nll, normal_nll,
};
use crate::tensors::{from_f64, indices, to_f64};
use burn::tensor::{DType, Device, Int, Tensor};
use rand::RngExt;

/// Tolerance of a trajectory's steps relative to that of the NLL (at least 1e-6 in f32). Measured on the digits'
/// flow at a tolerance of 1e-3: with a ratio of 0.03, NLLs are off by 13 tolerances; with 0.003 by 1.3; with 0.001
/// and less by 0.13. Velocities cost a small fraction of divergences.
const TRAJECTORY: f64 = 0.0001;

/// Number of tangents per point of `width` dimensions.
fn tangents(options: &NllOptions, width: usize) -> usize {
    match options.divergence {
        Divergence::Exact => width,
        Divergence::Hutchinson { probes } => probes,
    }
}

/// Maximum number of intervals between nodes along a trajectory; the integral is then accepted as it is.
pub const MOST_INTERVALS: usize = quadrature::MOST;

/// The NLL in nats of each of `points` [n, d] under `field`. `progress` is called with the fraction of finished
/// points; an error from it stops the computation.
///
/// # Errors
/// Errors of `progress`; a numerical error if an NLL is not finite or no step is small enough; device errors.
pub fn negative_log_likelihood(
    field: &dyn VelocityField,
    points: Tensor<2>,
    solver: &NllOptions,
    progress: Progress,
) -> Result<Nll> {
    let [n, _] = points.dims();
    let mut result = Nll {
        kind: NllKind::Ode,
        ..Nll::default()
    };
    for (start, x) in chunks(&points, solver) {
        let [count, _] = x.dims();
        let of_chunk = of_range(field, start, &x);
        let along = Along::new(of_chunk.as_deref().unwrap_or(field), solver, &x, start);
        let within = |share: f64| progress((start as f64 + share * count as f64) / n as f64);
        let solution = along.solve(x, solver.tolerance, within)?;
        result.evaluations += solution.integrals.evaluations;
        result.settled.extend(&solution.integrals.settled);
        for of_point in along.nll(&solution)?.chunks(along.columns()) {
            result.values.push(mean(of_point));
            if of_point.len() > 1 {
                result.errors.push(standard_error(of_point, 1));
            }
        }
        progress((start + count) as f64 / n as f64)?;
    }
    result.values = finite_nll(result.values)?;
    Ok(result)
}

/// The NLLs of `points` [n, d], and how much each changes, in nats, when every step and every interval between
/// nodes is halved: the uncertainty left by tolerance and precision.
///
/// # Errors
/// As [`negative_log_likelihood`].
pub fn halving_check(
    field: &dyn VelocityField,
    points: Tensor<2>,
    solver: &NllOptions,
    mut check: impl FnMut() -> Result<()>,
) -> Result<Halving> {
    let mut found = Halving::default();
    for (start, x) in chunks(&points, solver) {
        let of_chunk = of_range(field, start, &x);
        let along = Along::new(of_chunk.as_deref().unwrap_or(field), solver, &x, start);
        let coarse = along.solve(x.clone(), solver.tolerance, |_| check())?;
        let grid = halved(&coarse.trajectory.grid);
        let fine = on_grid(along.velocity(&mut check), x, 1.0, 0.0, &grid)?;
        let gaussian = to_f64(normal_nll(fine.end()))?;
        let nll = along.nll(&coarse)?;
        let of_point: Vec<f64> = nll.chunks(along.columns()).map(mean).collect();
        let mut changes = vec![0.0; of_point.len()];
        for (intervals, points) in coarse.integrals.by_intervals() {
            let integrals = along.by_rule(&fine, 2 * intervals, Some(&points), &mut check)?;
            let integrals = to_f64(integrals)?;
            for (point, integrals) in points.into_iter().zip(integrals.chunks(along.columns())) {
                let change = of_point[point] - (gaussian[point] + mean(integrals));
                if !change.is_finite() {
                    return Err(Error::Numerical(
                        "an NLL stops being finite when the solver's steps are halved".to_owned(),
                    ));
                }
                changes[point] = change.abs();
            }
        }
        found.values.extend(of_point);
        found.changes.extend(changes);
    }
    Ok(found)
}

/// The share of trajectories in the work of an NLL, for progress.
const OF_TRAJECTORY: f64 = 0.2;
/// After this many nodes of a point, half of its integral counts as done, for progress.
const NODES: f64 = 33.0;

/// Maximum number of evaluations in a graph.
const MOST_IN_GRAPH: usize = 6_000;
/// Evaluations per Dormand-Prince step.
const STAGES: usize = 6;

/// The gradient [n, d] of each point's NLL with respect to the point, in nats, on the host: through every step of
/// the solver. `tracked` is `field` on a device with autodiff, which records its evaluations; steps are chosen
/// without it.
///
/// # Errors
/// As [`negative_log_likelihood`], and if the graph would not fit into memory.
pub fn nll_gradient(
    [field, tracked]: [&dyn VelocityField; 2],
    points: Tensor<2>,
    solver: &NllOptions,
    mut check: impl FnMut() -> Result<()>,
) -> Result<Vec<f64>> {
    let [n, d] = points.dims();
    // the graph keeps every evaluation of a solve
    let at_once = (ROWS_PER_EVALUATION / 64 / (tangents(solver, d) + 1)).max(1);
    let mut gradients = Vec::with_capacity(n * d);
    for start in (0..n).step_by(at_once) {
        let y = points.clone().narrow(0, start, at_once.min(n - start));
        let of_chunk = of_range(field, start, &y);
        let along = Along::new(of_chunk.as_deref().unwrap_or(field), solver, &y, start);
        // steps and nodes are chosen first, then held fixed
        let chosen = along.solve(y.clone(), solver.tolerance, |_| check())?;
        let grid = &chosen.trajectory.grid;
        let evaluations = STAGES * grid.len() + chosen.integrals.finest();
        if evaluations > MOST_IN_GRAPH {
            return Err(Error::Numerical(format!(
                "the gradient of an NLL would go through {evaluations} evaluations of the flow, \
                 expected at most {MOST_IN_GRAPH}: the velocity is far from smooth; loosen the \
                 tolerance, or turn gradients off (estimate_nll.gradient_points: 0)"
            )));
        }
        let y = Tensor::from_inner(y).require_grad();
        let of_chunk = of_range(tracked, start, &y);
        let along = along.tracked_by(of_chunk.as_deref().unwrap_or(tracked));
        let trajectory = on_grid(along.velocity(&mut check), y.clone(), 1.0, 0.0, grid)?;
        let intervals = chosen.integrals.finest();
        let integrals = along.by_rule(&trajectory, intervals, None, &mut check)?;
        let nll = normal_nll(trajectory.end()) + integrals;
        let total = nll.mean_dim(1).sum();
        let gradient = y.grad(&total.backward()).expect("the NLL depends on y");
        gradients.extend(to_f64(gradient)?);
    }
    Ok(gradients)
}

/// Splits points [n, d] into chunks of one evaluation each; yields each chunk with its first index.
fn chunks(points: &Tensor<2>, solver: &NllOptions) -> impl Iterator<Item = (usize, Tensor<2>)> {
    let [n, d] = points.dims();
    let size = (ROWS_PER_EVALUATION / (tangents(solver, d) + 1)).max(1);
    (0..n)
        .step_by(size)
        .map(move |start| (start, points.clone().narrow(0, start, size.min(n - start))))
}

/// The field over the points `x` [n, d], of which the first has the index `start`; None if all points have the same
/// velocity.
fn of_range<'a>(
    field: &'a dyn VelocityField,
    start: usize,
    x: &Tensor<2>,
) -> Option<Box<dyn VelocityField + 'a>> {
    let [n, _] = x.dims();
    let chosen = start as i64..(start + n) as i64;
    field.of_points(Tensor::arange(chosen, &x.device()))
}

/// The integrands along the trajectories of a chunk of points.
struct Along<'a> {
    field: &'a dyn VelocityField,
    /// Probe vectors of an estimated divergence, fixed along a trajectory [n, k, d].
    probes: Option<Tensor<3>>,
    /// Rows per point of an evaluation of the divergence.
    rows: usize,
    /// Whether one evaluation covers several times.
    several_times: bool,
}

/// The velocity as the solver calls it.
struct Velocity<'a, C> {
    field: &'a dyn VelocityField,
    /// Whether time-dependent values are precomputed for several times.
    several_times: bool,
    /// The field with values precomputed for upcoming times, if that helps.
    ahead: Option<Box<dyn VelocityField + 'a>>,
    check: C,
}

impl<'a, C: FnMut(f64) -> Result<()>> Velocity<'a, C> {
    fn new(field: &'a dyn VelocityField, several_times: bool, check: C) -> Self {
        Self {
            field,
            several_times,
            ahead: None,
            check,
        }
    }
}

impl<C: FnMut(f64) -> Result<()>> Slope for Velocity<'_, C> {
    fn expect(&mut self, times: &[f64]) {
        if self.several_times {
            self.ahead = self.field.at_times(times);
        }
    }

    fn at(&mut self, x: Tensor<2>, time: f64) -> Result<Tensor<2>> {
        (self.check)(time)?;
        let field = self.ahead.as_deref().unwrap_or(self.field);
        Ok(field.velocity(x.unsqueeze::<3>(), &[time]).squeeze_dim(0))
    }
}

/// Whether to pass several times to `device` in one evaluation: a GPU waits for the host at each launch, while a
/// CPU's cores are faster with one time after another, in cache.
fn several_times(device: &Device) -> bool {
    device.clone().inner() != Device::flex()
}

impl<'a> Along<'a> {
    /// For the points `x` [n, d], of which the first has the index `start`.
    fn new(field: &'a dyn VelocityField, solver: &NllOptions, x: &Tensor<2>, start: usize) -> Self {
        let [n, d] = x.dims();
        let probes = match solver.divergence {
            Divergence::Exact => None,
            Divergence::Hutchinson { probes } => {
                let mut rng = solver.streams.at("probes", start as u64);
                let signs = (0..n * probes * d)
                    .map(|_| if rng.random() { 1.0 } else { -1.0 })
                    .collect();
                Some(from_f64(signs, [n, probes, d], x.dtype(), &x.device()))
            }
        };
        Self {
            field,
            probes,
            rows: tangents(solver, d) + 1,
            several_times: several_times(&x.device()),
        }
    }

    /// The same on a device with autodiff, where the field is `field`.
    fn tracked_by<'b>(&self, field: &'b dyn VelocityField) -> Along<'b> {
        Along {
            field,
            probes: self.probes.clone().map(Tensor::from_inner),
            ..*self
        }
    }

    /// Number of integrals per point: one, or one per probe.
    fn columns(&self) -> usize {
        self.probes.as_ref().map_or(1, |probes| probes.dims()[1])
    }

    /// The velocity [n, d] of all points.
    fn velocity(
        &self,
        mut check: impl FnMut() -> Result<()>,
    ) -> Velocity<'a, impl FnMut(f64) -> Result<()>> {
        Velocity::new(self.field, self.several_times, move |_| check())
    }

    /// Times per evaluation of the divergence of `points` points.
    fn at_once(&self, points: usize) -> usize {
        match self.several_times {
            true => (ROWS_PER_EVALUATION / (points * self.rows)).max(1),
            false => 1,
        }
    }

    /// The divergences [K, m, 1] along `trajectory` at the `positions` `[K]`, or their estimates by each probe [K,
    /// m, k]: `e . J e` (Hutchinson 1989; Grathwohl et al. 2019, arXiv 1810.01367); of all points, or of those with
    /// the indices `chosen` `[m]`.
    fn divergences(
        &self,
        trajectory: &Trajectory,
        positions: &[f64],
        chosen: Option<&Tensor<1, Int>>,
    ) -> Tensor<3> {
        let of_chosen = chosen.and_then(|chosen| self.field.of_points(chosen.clone()));
        let field = of_chosen.as_deref().unwrap_or(self.field);
        let x = match positions {
            [position] => trajectory.at(*position).unsqueeze(),
            _ => trajectory.at_all(positions),
        };
        let x = match chosen {
            Some(chosen) => x.select(1, chosen.clone()),
            None => x,
        };
        let times: Vec<f64> = positions.iter().map(|position| 1.0 - position).collect();
        let Some(probes) = self.probes.clone() else {
            return field.divergences(x, &times).unsqueeze_dim(2);
        };
        let probes = match chosen {
            Some(chosen) => probes.select(0, chosen.clone()),
            None => probes,
        };
        let along = field.jvps(x, &times, probes.clone());
        (along * probes.unsqueeze_dim(0)).sum_dim(3).squeeze_dim(3)
    }

    /// The trajectories that end in `x` [n, d], and the integrals of the divergence along them. `progress` is called
    /// with a growing share of the work: how much there is depends on the points, so that it is an estimate.
    fn solve(
        &self,
        x: Tensor<2>,
        tolerance: f64,
        mut progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Solution> {
        let [n, _] = x.dims();
        let device = x.device();
        let [step, rounding] = match x.dtype() {
            DType::F64 => [1e-13, 1e-14],
            _ => [1e-6, 1e-6],
        };
        // interpolated between steps, a trajectory must be more accurate than the integral along it
        let within = (TRAJECTORY * tolerance).max(step);
        let within = Tolerance {
            absolute: within,
            relative: within,
        };
        let of_trajectory = |time: f64| progress(OF_TRAJECTORY * (1.0 - time));
        let velocity = Velocity::new(self.field, self.several_times, of_trajectory);
        let trajectory = dormand_prince(velocity, x, 1.0, 0.0, within)?;
        let mut evaluated = 0.0;
        let integrals = quadrature::integrate(
            n,
            self.columns(),
            [tolerance, rounding],
            |positions, points| {
                let chosen = (points.len() < n).then(|| indices(points.iter().copied(), &device));
                let mut values = Vec::new();
                for positions in positions.chunks(self.at_once(points.len())) {
                    let open = points.len() as f64 / n as f64;
                    let done = 1.0 - open * NODES / (NODES + evaluated);
                    progress(OF_TRAJECTORY + (1.0 - OF_TRAJECTORY) * done)?;
                    evaluated += open * positions.len() as f64;
                    let found = self.divergences(&trajectory, positions, chosen.as_ref());
                    values.extend(to_f64(found)?);
                }
                Ok(values)
            },
        )?;
        Ok(Solution {
            trajectory,
            integrals,
        })
    }

    /// The integrals [n, q] of the divergence along `trajectory` by the rule with `intervals`, of the points with
    /// the indices `points` if given, else of all.
    fn by_rule(
        &self,
        trajectory: &Trajectory,
        intervals: usize,
        points: Option<&[usize]>,
        mut check: impl FnMut() -> Result<()>,
    ) -> Result<Tensor<2>> {
        let end = trajectory.end();
        let [all, _] = end.dims();
        let n = points.map_or(all, <[usize]>::len);
        let chosen = points.filter(|_| n < all);
        let chosen = chosen.map(|points| indices(points.iter().copied(), &end.device()));
        let nodes: Vec<usize> = (0..=intervals).collect();
        let weights = quadrature::weights(intervals);
        let mut total: Option<Tensor<2>> = None;
        for nodes in nodes.chunks(self.at_once(n)) {
            check()?;
            let positions = nodes
                .iter()
                .map(|&index| quadrature::node(index, intervals));
            let divergences =
                self.divergences(trajectory, &positions.collect::<Vec<_>>(), chosen.as_ref());
            let weights: Vec<f64> = nodes.iter().map(|&index| weights[index]).collect();
            let dims = [weights.len(), 1, 1];
            let weights: Tensor<3> = from_f64(weights, dims, end.dtype(), &end.device());
            let term = (divergences * weights).sum_dim(0).squeeze_dim(0);
            total = Some(match total {
                Some(total) => total + term,
                None => term,
            });
        }
        Ok(total.expect("a rule has nodes"))
    }

    /// The NLL of each point by each integral, [n, q].
    fn nll(&self, solution: &Solution) -> Result<Vec<f64>> {
        let gaussian = to_f64(normal_nll(solution.trajectory.end()))?;
        let integrals = solution.integrals.values.chunks(self.columns());
        Ok((gaussian.iter().zip(integrals))
            .flat_map(|(gaussian, integrals)| integrals.iter().map(move |i| gaussian + i))
            .collect())
    }
}

/// Trajectories, and the integrals of the divergence along them.
struct Solution {
    trajectory: Trajectory,
    integrals: Integrals,
}

/// Maps noise [n, T, d] at t = 0 to points at t = 1 by `field` over rows [n, T d].
///
/// # Errors
/// Errors of `progress`; a numerical error if no step is small enough.
pub fn points_of(
    field: &dyn VelocityField,
    noise: Tensor<3>,
    steps: Steps,
    progress: Progress,
) -> Result<Carried> {
    let several_times = several_times(&noise.device());
    carried(Velocity::new(field, several_times, progress), noise, steps)
}

/// As [`points_of`] with classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598): the velocity is
/// `none + guidance (under - none)`, with `under` the conditional and `none` the unconditional velocity.
///
/// # Errors
/// As [`points_of`].
pub fn guided_points_of(
    [under, none]: [&dyn VelocityField; 2],
    guidance: f64,
    noise: Tensor<3>,
    steps: Steps,
    progress: Progress,
) -> Result<Carried> {
    let velocity = |x: Tensor<2>, t: f64| {
        progress(t)?;
        let x = x.unsqueeze::<3>();
        let none = none.velocity(x.clone(), &[t]);
        let under = under.velocity(x, &[t]);
        Ok((none.clone() + (under - none).mul_scalar(guidance)).squeeze_dim(0))
    };
    carried(velocity, noise, steps)
}

/// Integrates noise [n, T, d] from t = 0 to t = 1 along `velocity` over rows [n, T d].
fn carried(velocity: impl Slope, noise: Tensor<3>, steps: Steps) -> Result<Carried> {
    let dims = noise.dims();
    let noise = noise.flatten::<2>(1, 2);
    let (points, evaluations) = match steps {
        Steps::Adaptive(tolerance) => {
            let within = Tolerance {
                absolute: tolerance,
                relative: tolerance,
            };
            let solution = dormand_prince(velocity, noise, 0.0, 1.0, within)?;
            (solution.end(), solution.evaluations)
        }
        Steps::Equal(steps) => in_equal_steps(velocity, noise, 0.0, 1.0, steps)?,
        Steps::Parallel(_) => unreachable!("refused by kinds with an ODE"),
    };
    Ok(Carried {
        points: points.reshape(dims),
        evaluations: vec![evaluations as f64],
    })
}

/// Maps points at t = 1 to noise at t = 0 by `field` over rows [n, T d]; also returns the log-determinant of the
/// map, which is minus the integral of the divergence.
///
/// # Errors
/// As [`negative_log_likelihood`].
pub fn noise_of(
    field: &dyn VelocityField,
    points: &Points,
    options: &NllOptions,
    progress: Progress,
) -> Result<Noised> {
    let rows = points.rows();
    let [n, _] = rows.dims();
    let (mut ends, mut log_det) = (Vec::new(), Vec::new());
    for (start, x) in chunks(&rows, options) {
        let of_chunk = of_range(field, start, &x);
        let along = Along::new(of_chunk.as_deref().unwrap_or(field), options, &x, start);
        let [count, _] = x.dims();
        let within = |share: f64| progress((start as f64 + share * count as f64) / n as f64);
        let solution = along.solve(x, options.tolerance, within)?;
        let integrals = solution.integrals.values.chunks(along.columns());
        log_det.extend(integrals.map(|of_point| -mean(of_point)));
        ends.push(solution.trajectory.end());
    }
    Ok(Noised {
        noise: Tensor::cat(ends, 0).reshape(points.values.dims()),
        log_det: finite_nll(log_det)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::priors::{ExactMixture, VelocityNetwork, VelocityNetworkConfig};
    use crate::random::Streams;
    use crate::targets::GaussianMixture;
    use crate::tensors::{cast, from_f32, from_f64, to_f32};
    use crate::training::perturb;
    use burn::tensor::Device;
    use std::f64::consts::TAU;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// N(mu, A A^T) in d dimensions with known log-density: variances s_i^2 along the axes.
    fn gaussian(d: usize) -> (GaussianMixture, Vec<f64>, Vec<f64>) {
        let mean: Vec<f64> = (0..d).map(|i| (i as f64).sin()).collect();
        let scale: Vec<f64> = (0..d)
            .map(|i| 0.2 + 1.5 * (i as f64 * 0.37).cos().abs())
            .collect();
        let mut covariance = vec![0.0; d * d];
        for i in 0..d {
            covariance[i * d + i] = scale[i] * scale[i];
        }
        let mixture = GaussianMixture {
            weights: vec![1.0],
            means: vec![mean.clone()],
            covariances: vec![covariance],
        };
        (mixture, mean, scale)
    }

    /// Fails if nothing is heard of points that are solved together until all are done.
    #[test]
    fn progress_grows_while_points_are_solved() {
        let device = Device::default();
        let (target, _, _) = gaussian(3);
        let field = ExactMixture::new(&target, DType::F64, &device);
        let x = from_f64(vec![0.5; 24], [8, 3], DType::F64, &device);
        let mut shares = Vec::new();
        let mut progress = |share: f64| {
            shares.push(share);
            Ok(())
        };
        negative_log_likelihood(&field, x, &NllOptions::exact(1e-5), &mut progress).unwrap();
        assert!(
            shares.is_sorted() && *shares.last().unwrap() == 1.0,
            "{shares:?}"
        );
        let inside = shares.iter().filter(|share| (0.05..0.95).contains(*share));
        assert!(inside.count() > 4, "{shares:?}");
    }

    #[test]
    fn exact_gaussian_velocity_gives_the_closed_form_nll_at_every_point() {
        let device = Device::flex();
        for d in [2, 16, 64] {
            let (mixture, mean, scale) = gaussian(d);
            let n = 50;
            // two standard deviations wide, to cover the tails
            let z = Streams::new(d as u64).normal("z", 0, n * d);
            let points: Vec<f64> = (z.iter().enumerate())
                .map(|(i, z)| mean[i % d] + 2.0 * scale[i % d] * f64::from(*z))
                .collect();
            let field = ExactMixture::new(&mixture, DType::F64, &device);
            let x = from_f64(points.clone(), [n, d], DType::F64, &device);
            let nll = negative_log_likelihood(&field, x, &NllOptions::exact(1e-7), &mut |_| Ok(()))
                .unwrap()
                .values;
            for (point, nll) in points.chunks(d).zip(nll) {
                let expected: f64 = (0..d)
                    .map(|i| {
                        let z = (point[i] - mean[i]) / scale[i];
                        0.5 * (z * z + TAU.ln()) + scale[i].ln()
                    })
                    .sum();
                assert!((nll - expected).abs() < 1e-3, "d = {d}: {nll} {expected}");
            }
        }
    }

    #[test]
    fn samples_of_the_exact_velocity_follow_the_target() {
        let device = Device::flex();
        let (mixture, mean, scale) = gaussian(2);
        let field = ExactMixture::new(&mixture, DType::F32, &device);
        let n = 4000;
        let noise = from_f32(Streams::new(9).normal("noise", 0, 2 * n), [n, 2], &device);
        let samples = to_f32(
            points_of(
                &field,
                noise.unsqueeze_dim(1),
                Steps::Adaptive(1e-5),
                &mut |_| Ok(()),
            )
            .unwrap()
            .points,
        )
        .unwrap();
        for axis in 0..2 {
            let z: Vec<f64> = (samples.iter().skip(axis).step_by(2))
                .map(|x| (f64::from(*x) - mean[axis]) / scale[axis])
                .collect();
            let m = z.iter().sum::<f64>() / n as f64;
            let v = z.iter().map(|z| z * z).sum::<f64>() / n as f64;
            assert!(m.abs() < 0.06 && (v - 1.0).abs() < 0.08, "{m} {v}");
        }
    }

    /// A network whose velocity is not a gradient field, in f64.
    fn network(d: usize, device: &Device) -> VelocityNetwork {
        let config = VelocityNetworkConfig {
            width: 32,
            blocks: 2,
            frequencies: 16,
            time_scale: 10.0,
        };
        let network = config.init(d, Streams::new(1), device);
        cast(perturb(network, 0.1, Streams::new(2)), DType::F64)
    }

    #[test]
    fn a_point_whose_divergence_is_too_rough_to_integrate_is_told() {
        /// Zero velocity with a divergence that oscillates faster than any rule can resolve.
        struct Rough;
        impl VelocityField for Rough {
            fn width(&self) -> usize {
                1
            }
            fn velocity(&self, x: Tensor<3>, _: &[f64]) -> Tensor<3> {
                x.zeros_like()
            }
            fn velocity_and_divergence(&self, x: Tensor<2>, t: f64) -> (Tensor<2>, Tensor<1>) {
                let divergence = x.clone().mul_scalar((20_000.0 * t).cos());
                (x.zeros_like(), divergence.squeeze_dim(1))
            }
            fn velocity_and_jvps(
                &self,
                _: Tensor<2>,
                _: f64,
                _: Tensor<3>,
            ) -> (Tensor<2>, Tensor<3>) {
                unreachable!("the divergence is exact")
            }
        }
        let x = from_f64(vec![0.0, 1.0, 0.0], [3, 1], DType::F64, &Device::flex());
        let found =
            negative_log_likelihood(&Rough, x, &NllOptions::exact(1e-6), &mut |_| Ok(())).unwrap();
        assert_eq!(found.settled, [true, false, true]);
        assert_eq!(found.unsettled(), 1);
    }

    #[test]
    fn several_times_at_once_give_what_one_after_another_gives() {
        let device = Device::flex();
        let (field, tracked) = (network(3, &device), network(3, &device.clone().autodiff()));
        let values = Streams::new(3).normal("x", 0, 8 * 3);
        let x = from_f32(values, [8, 3], &device).cast(DType::F64);
        for divergence in [Divergence::Exact, Divergence::Hutchinson { probes: 4 }] {
            let solver = NllOptions {
                divergence,
                ..NllOptions::exact(1e-8)
            };
            let solve = |several_times| {
                let mut along = Along::new(&field, &solver, &x, 0);
                along.several_times = several_times;
                let found = along.solve(x.clone(), 1e-8, |_| Ok(())).unwrap();
                let along = along.tracked_by(&tracked);
                let x = Tensor::from_inner(x.clone()).require_grad();
                let grid = &found.trajectory.grid;
                let velocity = along.velocity(|| Ok(()));
                let trajectory = on_grid(velocity, x.clone(), 1.0, 0.0, grid).unwrap();
                let total = along
                    .by_rule(&trajectory, 48, None, || Ok(()))
                    .unwrap()
                    .sum();
                let gradient = x.grad(&total.backward()).unwrap();
                let mut all = along.nll(&found).unwrap();
                all.extend(to_f64(gradient).unwrap());
                (along.at_once(8), all)
            };
            let ((one, alone), (several, together)) = (solve(false), solve(true));
            assert!(one == 1 && several > 48, "{several}");
            for (a, b) in alone.iter().zip(&together) {
                assert!((a - b).abs() < 1e-9 * a.abs().max(1.0), "{a} {b}");
            }
        }
    }

    /// A network that counts computations of a modulation for a velocity.
    struct Counting(VelocityNetwork, AtomicUsize);

    impl VelocityField for Counting {
        fn width(&self) -> usize {
            self.0.width()
        }
        fn velocity(&self, x: Tensor<3>, times: &[f64]) -> Tensor<3> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.velocity(x, times)
        }
        fn velocity_and_divergence(&self, x: Tensor<2>, t: f64) -> (Tensor<2>, Tensor<1>) {
            self.0.velocity_and_divergence(x, t)
        }
        fn velocity_and_jvps(&self, x: Tensor<2>, t: f64, e: Tensor<3>) -> (Tensor<2>, Tensor<3>) {
            self.0.velocity_and_jvps(x, t, e)
        }
        fn at_times(&self, times: &[f64]) -> Option<Box<dyn VelocityField + '_>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.at_times(times)
        }
    }

    #[test]
    fn a_gpu_computes_modulations_once_a_step_and_once_for_many_known_steps() {
        let device = Device::flex();
        let x = from_f32(Streams::new(3).normal("x", 0, 6), [2, 3], &device).cast(DType::F64);
        let field = Counting(network(3, &device), AtomicUsize::new(0));
        let counted = || field.1.swap(0, Ordering::Relaxed);
        let velocity = || Velocity::new(&field, true, |_| Ok(()));
        let within = Tolerance {
            absolute: 1e-8,
            relative: 1e-8,
        };
        let found = dormand_prince(velocity(), x.clone(), 1.0, 0.0, within).unwrap();
        assert_eq!(counted() as u64, found.evaluations.div_ceil(STAGES as u64));
        let steps = found.grid.len();
        assert!((3..64).contains(&steps), "{steps}");
        let again = on_grid(velocity(), x, 1.0, 0.0, &found.grid).unwrap();
        assert_eq!(counted(), 2);
        let [a, b] = [found, again].map(|found| to_f64(found.end()).unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn hutchinsons_estimate_agrees_with_the_exact_divergence() {
        let device = Device::flex();
        let (d, n) = (6, 40);
        let field = network(d, &device);
        let x = from_f32(Streams::new(3).normal("x", 0, n * d), [n, d], &device).cast(DType::F64);
        let exact = NllOptions::exact(1e-8);
        let estimated = NllOptions {
            divergence: Divergence::Hutchinson { probes: 64 },
            ..exact
        };
        let solve =
            |solver| negative_log_likelihood(&field, x.clone(), solver, &mut |_| Ok(())).unwrap();
        let (exact, estimated) = (solve(&exact), solve(&estimated));
        let mut squares = 0.0;
        for ((a, b), error) in exact
            .values
            .iter()
            .zip(&estimated.values)
            .zip(&estimated.errors)
        {
            assert!(
                *error > 0.0 && (a - b).abs() < 4.0 * error,
                "{a} {b} {error}"
            );
            squares += ((a - b) / error).powi(2) / n as f64;
        }
        // the standard errors are neither too small nor too large
        assert!((0.4..2.0).contains(&squares), "{squares}");
        let mean = |v: &[f64]| v.iter().sum::<f64>() / n as f64;
        let error = estimated.errors.iter().map(|e| e * e).sum::<f64>().sqrt() / n as f64;
        assert!((mean(&exact.values) - mean(&estimated.values)).abs() < 3.0 * error);
    }

    #[test]
    fn the_gradient_of_the_nll_is_that_of_central_differences_and_of_a_gaussian() {
        let device = Device::flex();
        let autodiff = device.clone().autodiff();
        let (n, d) = (3, 2);
        let values: Vec<f64> = (Streams::new(5).normal("x", 0, n * d).into_iter())
            .map(f64::from)
            .collect();
        let points = |v: &[f64]| from_f64::<2>(v.to_vec(), [n, d], DType::F64, &device);
        let (field, tracked) = (network(d, &device), network(d, &autodiff));
        let found = nll_gradient(
            [&field, &tracked],
            points(&values),
            &NllOptions::exact(1e-9),
            || Ok(()),
        )
        .unwrap();
        for i in 0..n * d {
            let at = |h: f64| {
                let mut v = values.clone();
                v[i] += h;
                let x = points(&v);
                let solver = NllOptions::exact(1e-9);
                let solved = negative_log_likelihood(&field, x, &solver, &mut |_| Ok(())).unwrap();
                solved.values[i / d]
            };
            let difference = (at(1e-4) - at(-1e-4)) / 2e-4;
            assert!(
                (found[i] - difference).abs() < 1e-4,
                "{} {difference}",
                found[i]
            );
        }
        let (mixture, mean, scale) = gaussian(d);
        let on = |device| ExactMixture::new(&mixture, DType::F64, device);
        let (field, tracked) = (on(&device), on(&autodiff));
        let found = nll_gradient(
            [&field, &tracked],
            points(&values),
            &NllOptions::exact(1e-9),
            || Ok(()),
        )
        .unwrap();
        for (i, g) in found.iter().enumerate() {
            let expected = (values[i] - mean[i % d]) / scale[i % d].powi(2);
            assert!(
                (g - expected).abs() < 1e-5 * expected.abs().max(1.0),
                "{g} {expected}"
            );
        }
    }

    #[test]
    fn halved_steps_move_the_nll_by_less_where_the_tolerance_is_tighter() {
        let device = Device::flex();
        let field = network(3, &device);
        let x = from_f32(Streams::new(6).normal("x", 0, 30), [10, 3], &device).cast(DType::F64);
        let check = |tolerance| {
            halving_check(&field, x.clone(), &NllOptions::exact(tolerance), || Ok(())).unwrap()
        };
        let found = check(1e-7);
        let options = NllOptions::exact(1e-7);
        let same = negative_log_likelihood(&field, x.clone(), &options, &mut |_| Ok(()));
        let largest = |found: &Halving| found.changes.iter().copied().fold(0.0, f64::max);
        let (loose, tight) = (largest(&check(1e-3)), largest(&found));
        assert_eq!(found.changes.len(), 10);
        assert_eq!(found.values, same.unwrap().values);
        assert!(tight < 1e-6 && tight < 0.01 * loose, "{loose} {tight}");
        assert!(loose > 0.0 && loose < 0.1, "{loose}");
    }
}
