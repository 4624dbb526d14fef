//! The velocity field of a flow.

use crate::error::Result;
use crate::tensors::{stacked, to_f64};
use burn::tensor::{Int, Tensor};

/// Rows (points times tangents) per evaluation: more do not help, and need more memory.
pub const ROWS_PER_EVALUATION: usize = 8192;

/// A velocity field over points of width d: `dx/dt = v(x, t)` carries noise (t = 0) to data (t = 1).
pub trait VelocityField: Send + Sync {
    fn width(&self) -> usize;

    /// The velocity at `x` [K, m, d], the m points of group k at time `times[k]`. Differentiable
    /// with respect to `x`.
    fn velocity(&self, x: Tensor<3>, times: &[f64]) -> Tensor<3>;

    /// The velocity [n, d] at `x` [n, d], all at `time`, and its exact divergence `[n]`.
    fn velocity_and_divergence(&self, x: Tensor<2>, time: f64) -> (Tensor<2>, Tensor<1>);

    /// The velocity [n, d] at `x` [n, d], all at `time`, and its Jacobian times each of k directions a
    /// point [n, k, d].
    fn velocity_and_jvps(
        &self,
        x: Tensor<2>,
        time: f64,
        directions: Tensor<3>,
    ) -> (Tensor<2>, Tensor<3>);

    /// The divergences [K, m] at `x` [K, m, d], those of group k at time `times[k]`.
    fn divergences(&self, x: Tensor<3>, times: &[f64]) -> Tensor<2> {
        divergences_in_turn(self, x, times)
    }

    /// The Jacobians at `x` [K, m, d], those of group k at time `times[k]`, times `directions` [m, j, d], the
    /// same in every group: [K, m, j, d].
    fn jvps(&self, x: Tensor<3>, times: &[f64], directions: Tensor<3>) -> Tensor<4> {
        jvps_in_turn(self, x, times, directions)
    }

    /// The same field with time-dependent values precomputed for all of `times`; at other times it is unchanged.
    /// None if nothing is gained.
    fn at_times(&self, _times: &[f64]) -> Option<Box<dyn VelocityField + '_>> {
        None
    }

    /// The same field over points that each have a condition, a row of `condition` [n, c], in the order of the
    /// rows of `x`. None if the velocity takes no condition.
    fn under(&self, _condition: Tensor<2>) -> Option<Box<dyn VelocityField + '_>> {
        None
    }

    /// For a field over points that each have a condition: the field over the points `chosen` `[m]`. None if all
    /// points have the same velocity.
    fn of_points(&self, _chosen: Tensor<1, Int>) -> Option<Box<dyn VelocityField + '_>> {
        None
    }
}

/// As [`VelocityField::divergences`], one time after another.
pub(super) fn divergences_in_turn<F: VelocityField + ?Sized>(
    field: &F,
    x: Tensor<3>,
    times: &[f64],
) -> Tensor<2> {
    let groups = groups(x).zip(times);
    stacked(groups.map(|(x, &time)| field.velocity_and_divergence(x, time).1))
}

/// As [`VelocityField::jvps`], one time after another.
pub(super) fn jvps_in_turn<F: VelocityField + ?Sized>(
    field: &F,
    x: Tensor<3>,
    times: &[f64],
    directions: Tensor<3>,
) -> Tensor<4> {
    let of_time = |(x, &time)| field.velocity_and_jvps(x, time, directions.clone()).1;
    stacked(groups(x).zip(times).map(of_time))
}

/// The groups [m, d] of `x` [K, m, d].
fn groups(x: Tensor<3>) -> impl Iterator<Item = Tensor<2>> {
    let [count, _, _] = x.dims();
    (0..count).map(move |k| x.clone().narrow(0, k, 1).squeeze_dim(0))
}

/// Products of the Jacobian at `x` [n, d] with `directions` [n, k, d] by central differences, to check tangents in
/// f64.
///
/// # Errors
/// If reading from the device fails.
pub fn difference_jvps(
    field: &dyn VelocityField,
    x: Tensor<2>,
    time: f64,
    directions: Tensor<3>,
) -> Result<Vec<f64>> {
    let step = directions.clone().mul_scalar(DIFFERENCE);
    let [_, k, _] = directions.dims();
    let x = x.unsqueeze_dim::<3>(1).repeat_dim(1, k); // [n, k, d]
    let value = |x: Tensor<3>| {
        let [n, k, d] = x.dims();
        field.velocity(x.reshape([1, n * k, d]), &[time])
    };
    let difference = value(x.clone() + step.clone()) - value(x - step);
    to_f64(difference.div_scalar(2.0 * DIFFERENCE))
}

/// The step of central differences.
const DIFFERENCE: f64 = 1e-5;

/// The divergence at `x` [n, d] by central differences.
///
/// # Errors
/// If reading from the device fails.
pub fn difference_divergence(
    field: &dyn VelocityField,
    x: Tensor<2>,
    time: f64,
) -> Result<Vec<f64>> {
    let [n, d] = x.dims();
    let axes = Tensor::<2>::eye(d, &x.device()).cast(x.dtype());
    let axes = axes.unsqueeze::<3>().repeat_dim(0, n);
    let jacobians = difference_jvps(field, x, time, axes)?;
    let traces = jacobians.chunks(d * d);
    Ok(traces
        .map(|j| (0..d).map(|i| j[i * (d + 1)]).sum())
        .collect())
}

/// The divergence at `x` [n, d] by d vector-Jacobian products. `field` is on a device with autodiff, over points
/// without conditions. A graph holds several copies of all points, one per axis.
///
/// # Errors
/// If reading from the device fails.
pub fn autodiff_divergence(field: &dyn VelocityField, x: Tensor<2>, time: f64) -> Result<Vec<f64>> {
    let [n, d] = x.dims();
    let axes = Tensor::<2>::eye(d, &x.device()).cast(x.dtype());
    let at_once = (ROWS_IN_GRAPH / n).clamp(1, d);
    let mut total = vec![0.0; n];
    for first in (0..d).step_by(at_once) {
        let count = at_once.min(d - first);
        let axes = axes.clone().narrow(0, first, count).unsqueeze_dim::<3>(1); // [count, 1, d]
        let copies = x.clone().unsqueeze::<3>().repeat_dim(0, count); // [count, n, d]
        let copies = Tensor::<3>::from_inner(copies).require_grad();
        let v = field.velocity(copies.clone().reshape([1, count * n, d]), &[time]);
        let along = v.reshape([count, n, d]) * Tensor::from_inner(axes.clone());
        let gradients = along.sum().backward();
        let gradient = copies.grad(&gradients).expect("the velocity depends on x");
        let diagonal = to_f64((gradient * axes).sum_dim(2))?; // [count, n, 1]
        for of_axis in diagonal.chunks(n) {
            for (total, g) in total.iter_mut().zip(of_axis) {
                *total += g;
            }
        }
    }
    Ok(total)
}

/// Rows per graph.
const ROWS_IN_GRAPH: usize = 1024;
