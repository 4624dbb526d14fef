//! The same in plain Burn operations: used on other devices and element types, and to check the fused ones.

use super::halving::{KERNEL, PADDING, STRIDE};
use super::layer::{LayerWeights, LinearWeights, NormWeights};
use super::weights::{BlockWeights, NORM_EPSILON};
use crate::tensors::from_f32;
use burn::tensor::activation;
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{DType, Tensor};

/// As [`super::linear`].
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    x.matmul(weight) + bias.unsqueeze()
}

/// As [`linear`], x [n, in] and weight [in, out] rounded to bfloat16.
pub fn linear_bf16(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let dtype = x.dtype();
    let product = x.cast(DType::BF16).matmul(weight.cast(DType::BF16));
    product.cast(dtype) + bias.unsqueeze()
}

/// As [`super::convolution`].
pub fn convolution(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, silu: bool) -> Tensor<4> {
    let options = ConvOptions::new([STRIDE; 2], [PADDING; 2], [1; 2], 1);
    let out = conv2d(x.permute([0, 3, 1, 2]), weight, Some(bias), options);
    activated(out, silu).permute([0, 2, 3, 1])
}

/// As [`super::transposed_convolution`].
pub fn transposed_convolution(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    size: [usize; 2],
    silu: bool,
) -> Tensor<4> {
    let [_, height, width, _] = x.dims();
    // by default, an image of h rows becomes one of this many
    let rows = |halved: usize| STRIDE * (halved - 1) + KERNEL - 2 * PADDING;
    let out = [size[0] - rows(height), size[1] - rows(width)];
    let options = ConvTransposeOptions::new([STRIDE; 2], [PADDING; 2], out, [1; 2], 1);
    let out = conv_transpose2d(x.permute([0, 3, 1, 2]), weight, Some(bias), options);
    activated(out, silu).permute([0, 2, 3, 1])
}

fn activated(x: Tensor<4>, silu: bool) -> Tensor<4> {
    match silu {
        true => activation::silu(x),
        false => x,
    }
}

/// As [`super::silu`].
pub fn silu(x: Tensor<2>) -> Tensor<2> {
    activation::silu(x)
}

/// As [`super::gated`].
pub fn gated(value: Tensor<2>, gate: Tensor<2>) -> Tensor<2> {
    value * activation::sigmoid(gate)
}

/// As [`super::bernoulli`].
pub fn bernoulli(logit: Tensor<2>, data: Tensor<2>) -> Tensor<2> {
    activation::softplus(logit.clone(), 1.0) - data * logit
}

/// A layer over tokens `h` [rows, C], as [`super::transformer_layer`]: `attend` maps queries, keys and values
/// [rows, 3 C] to [rows, C]; `dropped` is dropout.
pub fn transformer_layer(
    h: Tensor<2>,
    weights: LayerWeights,
    attend: impl FnOnce(Tensor<2>) -> Tensor<2>,
    mut dropped: impl FnMut(Tensor<2>) -> Tensor<2>,
) -> Tensor<2> {
    let norm = |x: Tensor<2>, of: NormWeights| {
        standardise(x).0 * of.gamma.unsqueeze() + of.beta.unsqueeze()
    };
    let linear = |x, of: LinearWeights| linear(x, of.weight, of.bias);
    let attended = attend(linear(norm(h.clone(), weights.norm1), weights.qkv));
    let h = h + dropped(linear(attended, weights.projection));
    let inner = activation::gelu(linear(norm(h.clone(), weights.norm2), weights.fc1));
    h + dropped(linear(inner, weights.fc2))
}

/// Causal attention output [n tokens, C] for points of `tokens` tokens, from queries, keys and values `qkv` [n
/// tokens, 3 C], each ordered by head, then head width; logits are divided by `temperature`.
pub fn attention(qkv: Tensor<2>, tokens: usize, heads: usize, temperature: f64) -> Tensor<2> {
    let [rows, columns] = qkv.dims();
    let (n, width) = (rows / tokens, columns / (3 * heads));
    let parts = qkv.reshape([n, tokens, 3 * heads, width]).swap_dims(1, 2);
    let part = |i: usize| parts.clone().narrow(1, i * heads, heads); // [n, heads, tokens, width]
    let seen = attend(part(0), part(1), part(2), temperature);
    seen.swap_dims(1, 2).reshape([rows, heads * width])
}

/// As [`super::lstm`].
pub fn lstm(gates: Tensor<2>, weight: Tensor<2>, begin: Tensor<2>) -> Tensor<2> {
    let ([rows, _], [n, columns]) = (gates.dims(), begin.dims());
    let channels = columns / 2;
    let part = |of: &Tensor<2>, i: usize| of.clone().narrow(1, i * channels, channels);
    let [mut h, mut c] = [0, 1].map(|i| part(&begin, i));
    let each = (0..rows / n).map(|place| {
        let of_inputs = gates.clone().narrow(0, place * n, n);
        let gates = of_inputs + h.clone().matmul(weight.clone());
        let [i, f, o] = [0, 1, 3].map(|number| activation::sigmoid(part(&gates, number)));
        c = f * c.clone() + i * part(&gates, 2).tanh();
        h = o * c.clone().tanh();
        Tensor::cat(vec![h.clone(), c.clone()], 1)
    });
    Tensor::cat(each.collect(), 0)
}

/// Attention of the last m tokens over all tokens up to themselves: queries [n, heads, m, width], keys and values
/// [n, heads, all, width], logits divided by sqrt(width) and by `temperature`: [n, heads, m, width].
pub fn attend(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    temperature: f64,
) -> Tensor<4> {
    /// Logit of a masked token.
    const HIDDEN: f32 = -1e30;
    let [.., m, width] = queries.dims();
    let [.., all, _] = keys.dims();
    let (device, dtype) = (queries.device(), queries.dtype());
    let scale = 1.0 / ((width as f64).sqrt() * temperature);
    let logits = queries.mul_scalar(scale).matmul(keys.swap_dims(2, 3));
    let logits = match m {
        1 => logits,
        _ => {
            let before = all - m;
            let row = |i: usize| (0..all).map(move |j| if j <= before + i { 0.0 } else { HIDDEN });
            let hidden = (0..m).flat_map(row).collect();
            logits + from_f32::<4>(hidden, [1, 1, m, all], &device).cast(dtype)
        }
    };
    activation::softmax(logits, 3).matmul(values)
}

/// As [`super::modulated_norm`].
pub fn modulated_norm(x: Tensor<2>, modulation: Tensor<2>) -> Tensor<2> {
    let [shift, scale] = parts(modulation);
    modulate(standardise(x).0, shift, scale)
}

/// A block of [`super::blocks`].
pub fn block(h: Tensor<2>, modulation: Tensor<2>, weights: BlockWeights) -> Tensor<2> {
    block_by(h, modulation, weights, linear)
}

/// As [`block`], with `linear` for both of its linear layers.
pub fn block_by(
    h: Tensor<2>,
    modulation: Tensor<2>,
    weights: BlockWeights,
    linear: impl Fn(Tensor<2>, Tensor<2>, Tensor<1>) -> Tensor<2>,
) -> Tensor<2> {
    let [shift, scale, gate] = parts(modulation);
    let normed = standardise(h.clone()).0 * weights.gamma.unsqueeze() + weights.beta.unsqueeze();
    let inner = linear(modulate(normed, shift, scale), weights.w1, weights.b1);
    let inner = linear(silu(inner), weights.w2, weights.b2);
    let [groups, _] = gate.dims();
    h + grouped(inner, groups, |inner| inner * gate.unsqueeze_dim(1))
}

/// Splits a modulation [K, N width] into its N parts [K, width].
fn parts<const N: usize>(modulation: Tensor<2>) -> [Tensor<2>; N] {
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
fn standardise(x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let centred = x.clone() - x.mean_dim(1);
    let variance = centred.clone().square().mean_dim(1);
    let inverse = (variance + NORM_EPSILON).sqrt().recip(); // [rows, 1]
    (centred * inverse.clone(), inverse)
}

/// As [`super::block_tangents`]; `modulation` may be per row [n, 3 width].
pub fn block_tangents(
    h: Tensor<2>,
    tangents: Tensor<3>,
    modulation: Tensor<2>,
    weights: BlockWeights,
) -> (Tensor<2>, Tensor<3>) {
    let [shift, scale, gate] = parts(modulation); // [1, width] each
    // norm(h) * (1 + scale) + shift, with the norm's own weights folded in
    let scale = scale + 1.0;
    let shift = weights.beta.unsqueeze::<2>() * scale.clone() + shift;
    let scale = weights.gamma.unsqueeze::<2>() * scale;

    let (unit, inverse) = standardise(h.clone());
    let d_unit = standardise_tangents(tangents.clone(), unit.clone(), inverse);
    let before = linear(unit * scale.clone() + shift, weights.w1.clone(), weights.b1);
    let d_before = product(d_unit * scale.unsqueeze_dim(1), weights.w1);

    // silu(a) = a s(a), silu'(a) = s(a) (1 + a (1 - s(a)))
    let s = activation::sigmoid(before.clone());
    let slope = s.clone() * (before.clone() * (s.clone().neg() + 1.0) + 1.0);
    let after = linear(before * s, weights.w2.clone(), weights.b2);
    let d_after = product(d_before * slope.unsqueeze_dim(1), weights.w2);
    (
        h + after * gate.clone(),
        tangents + d_after * gate.unsqueeze_dim(1),
    )
}

/// As [`super::modulated_norm_tangents`]; `modulation` may be per row [n, 2 width].
pub fn modulated_norm_tangents(
    x: Tensor<2>,
    tangents: Tensor<3>,
    modulation: Tensor<2>,
) -> Tensor<3> {
    let [_, scale] = parts(modulation);
    let (unit, inverse) = standardise(x);
    standardise_tangents(tangents, unit, inverse) * (scale + 1.0).unsqueeze_dim(1)
}

/// As [`super::block_trace`]; the modulations may be per row.
pub fn block_trace(
    h: Tensor<2>,
    tangents: Tensor<3>,
    modulation: Tensor<2>,
    weights: BlockWeights,
    last: Tensor<2>,
    readout: Tensor<2>,
) -> (Tensor<2>, Tensor<1>) {
    let (h, tangents) = block_tangents(h, tangents, modulation, weights);
    let along = modulated_norm_tangents(h.clone(), tangents, last);
    let trace = (along * readout.unsqueeze_dim(0)).sum_dims_squeeze::<1, _>(&[1, 2]);
    (h, trace)
}

/// The tangents of `(x - mean) / std`, given its value `unit` [n, width] and 1 / std [n, 1]:
/// `(dx - mean(dx) - unit mean(unit dx)) / std`; dx [n or 1, k, width].
fn standardise_tangents(dx: Tensor<3>, unit: Tensor<2>, inverse: Tensor<2>) -> Tensor<3> {
    let unit = unit.unsqueeze_dim::<3>(1); // [n, 1, width]
    let along = (dx.clone() * unit.clone()).mean_dim(2); // [n, k, 1]
    let mean = dx.clone().mean_dim(2);
    (dx - mean - unit * along) * inverse.unsqueeze_dim(1)
}

/// Tangents [n, k, in] times a matrix [in, out].
pub fn product(tangents: Tensor<3>, weight: Tensor<2>) -> Tensor<3> {
    let [n, k, width] = tangents.dims();
    let [_, out] = weight.dims();
    tangents
        .reshape([n * k, width])
        .matmul(weight)
        .reshape([n, k, out])
}
