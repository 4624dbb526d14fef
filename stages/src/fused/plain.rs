//! The same in plain Burn operations: for other devices and element types, and what the fused ones are
//! checked against.

use super::{BlockWeights, NORM_EPSILON};
use burn::tensor::Tensor;
use burn::tensor::activation;

/// As [`super::linear`].
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    x.matmul(weight) + bias.unsqueeze()
}

/// As [`super::silu`].
pub fn silu(x: Tensor<2>) -> Tensor<2> {
    activation::silu(x)
}

/// As [`super::modulated_norm`].
pub fn modulated_norm(x: Tensor<2>, modulation: Tensor<2>) -> Tensor<2> {
    let [shift, scale] = parts(modulation);
    modulate(standardise(x).0, shift, scale)
}

/// As [`super::block`].
pub fn block(h: Tensor<2>, modulation: Tensor<2>, weights: BlockWeights) -> Tensor<2> {
    let [shift, scale, gate] = parts(modulation);
    let normed = standardise(h.clone()).0 * weights.gamma.unsqueeze() + weights.beta.unsqueeze();
    let inner = linear(modulate(normed, shift, scale), weights.w1, weights.b1);
    let inner = linear(silu(inner), weights.w2, weights.b2);
    let [groups, _] = gate.dims();
    h + grouped(inner, groups, |inner| inner * gate.unsqueeze_dim(1))
}

/// A modulation [K, N width] in its N parts [K, width].
pub fn parts<const N: usize>(modulation: Tensor<2>) -> [Tensor<2>; N] {
    let parts = modulation.chunk(N, 1);
    parts.try_into().expect("a modulation of N parts")
}

/// Applies `f` to rows [K m, width] seen as K groups [K, m, width].
fn grouped(rows: Tensor<2>, groups: usize, f: impl FnOnce(Tensor<3>) -> Tensor<3>) -> Tensor<2> {
    let [count, width] = rows.dims();
    f(rows.reshape([groups, count / groups, width])).reshape([count, width])
}

/// `(1 + scale) * x + shift`, `x` [K m, width], `shift` and `scale` [K, width].
fn modulate(x: Tensor<2>, shift: Tensor<2>, scale: Tensor<2>) -> Tensor<2> {
    let [groups, _] = shift.dims();
    grouped(x, groups, |x| {
        x * (scale + 1.0).unsqueeze_dim(1) + shift.unsqueeze_dim(1)
    })
}

/// `(x - mean(x)) / std` and `1 / std` along the last dimension, `std = sqrt(var(x) + epsilon)`.
pub fn standardise(x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let centred = x.clone() - x.mean_dim(1);
    let variance = centred.clone().square().mean_dim(1);
    let inverse = (variance + NORM_EPSILON).sqrt().recip(); // [rows, 1]
    (centred * inverse.clone(), inverse)
}
