//! What every consumer of a flow asks of it.

use burn::tensor::Tensor;

/// Rows (points, times their tangents) that one evaluation should carry: more do not help, and memory
/// grows.
pub const ROWS_PER_EVALUATION: usize = 8192;

/// A velocity field over points of width d: `dx/dt = v(x, t)` carries noise (t = 0) to data (t = 1).
pub trait VelocityField: Send + Sync {
    /// The width d of a point.
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
}

/// The products of the Jacobian with `directions` [n, k, d] by central differences in f64: what the
/// tangents are checked against.
#[cfg(test)]
pub fn difference_jvps(
    field: &dyn VelocityField,
    x: Tensor<2>,
    time: f64,
    directions: Tensor<3>,
) -> Vec<f64> {
    let step = directions.clone().mul_scalar(1e-5);
    let [_, k, _] = directions.dims();
    let x = x.unsqueeze_dim::<3>(1).repeat_dim(1, k); // [n, k, d]
    let value = |x: Tensor<3>| {
        let [n, k, d] = x.dims();
        field.velocity(x.reshape([1, n * k, d]), &[time])
    };
    let difference = value(x.clone() + step.clone()) - value(x - step);
    crate::tensors::to_f64(difference.div_scalar(2e-5)).unwrap()
}

/// The divergence by d vector-Jacobian products: what the closed forms are checked against.
#[cfg(test)]
pub fn autodiff_divergence(field: &dyn VelocityField, x: Tensor<2>, time: f64) -> Vec<f64> {
    let [n, d] = x.dims();
    let mut total = vec![0.0; n];
    for axis in 0..d {
        let x = Tensor::<2>::from_inner(x.clone()).require_grad();
        let v = field.velocity(x.clone().unsqueeze::<3>(), &[time]);
        let gradient = x.grad(&v.narrow(2, axis, 1).sum().backward()).unwrap();
        let gradient = crate::tensors::to_f64(gradient.narrow(1, axis, 1)).unwrap();
        for (total, g) in total.iter_mut().zip(gradient) {
            *total += g;
        }
    }
    total
}
