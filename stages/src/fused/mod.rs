//! Operations of the networks that are one pass on a CPU in f32, as a Burn backend extension with hand-written
//! gradients, and plain Burn operations everywhere else.
//!
//! Rows come in K groups of m that share a modulation: `x` [K m, width], `modulation` [K, 2 or 3 width] with shift,
//! scale (and gate) of each group.

mod flex;
mod gradients;
mod halving;
mod images;
mod layer;
mod operations;
pub mod plain;
mod tangents;
mod tensors;
mod transformer;
mod weights;

use burn::backend::Dispatch;
use burn::nn::Linear;
use burn::tensor::Tensor;
pub use flex::{flex_mut, flex_ref, flex_refs, is_fused};
pub use images::{channels_first, channels_last, convolution, transposed_convolution};
pub use latent_align_kernels::RowMap;
pub use layer::{LayerWeights, LinearWeights, NormWeights, Pass};
use operations::FusedOperations;
pub use tangents::{block_tangents, block_trace, modulated_norm_tangents, without_graph};
use tensors::Tensors;
pub use transformer::{LayerReader, transformer_layer};
pub use weights::{BlockWeights, NORM_EPSILON};

/// `x weight + bias`: x [n, in], weight [in, out], bias `[out]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    if !is_fused(&x) {
        return plain::linear(x, weight, bias);
    }
    Tensor::from_dispatch(<Dispatch as FusedOperations>::fused_linear(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// [`linear`] with the weights of `layer`, which has a bias.
pub fn linear_layer(layer: &Linear, x: Tensor<2>) -> Tensor<2> {
    let bias = layer.bias.as_ref().expect("a layer with a bias");
    linear(x, layer.weight.val(), bias.val())
}

/// SiLU of [`linear`].
pub fn linear_silu(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    if !is_fused(&x) {
        return plain::silu(plain::linear(x, weight, bias));
    }
    Tensor::from_dispatch(<Dispatch as FusedOperations>::fused_linear_silu(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// [`linear_silu`] with the weights of `layer`, which has a bias.
pub fn linear_silu_layer(layer: &Linear, x: Tensor<2>) -> Tensor<2> {
    let bias = layer.bias.as_ref().expect("a layer with a bias");
    linear_silu(x, layer.weight.val(), bias.val())
}

/// SiLU of `x` [n, width].
pub fn silu(x: Tensor<2>) -> Tensor<2> {
    if !is_fused(&x) {
        return plain::silu(x);
    }
    Tensor::from_dispatch(<Dispatch as FusedOperations>::fused_silu(x.into_dispatch()))
}

/// `value s(gate)` with the logistic function s; both are [n, width].
pub fn gated(value: Tensor<2>, gate: Tensor<2>) -> Tensor<2> {
    if !is_fused(&value) {
        return plain::gated(value, gate);
    }
    Tensor::from_dispatch(<Dispatch as FusedOperations>::fused_gated(
        value.into_dispatch(),
        gate.into_dispatch(),
    ))
}

/// `softplus(logit) - data logit`, both [n, width]: the negative log-probability of binary data, in nats.
pub fn bernoulli(logit: Tensor<2>, data: Tensor<2>) -> Tensor<2> {
    if !is_fused(&logit) {
        return plain::bernoulli(logit, data);
    }
    Tensor::from_dispatch(<Dispatch as FusedOperations>::fused_bernoulli(
        logit.into_dispatch(),
        data.into_dispatch(),
    ))
}

/// h and c [T n, 2 C] of an LSTM after each of T positions, from the input's contributions to its gates `gates` [T
/// n, 4 C] (in, forget, new, out), ordered by position, the weights `weight` [C, 4 C] from h to the gates, and the
/// initial h and c, `begin` [n, 2 C].
pub fn lstm(gates: Tensor<2>, weight: Tensor<2>, begin: Tensor<2>) -> Tensor<2> {
    if !is_fused(&gates) {
        return plain::lstm(gates, weight, begin);
    }
    Tensor::from_dispatch(<Dispatch as FusedOperations>::fused_lstm(
        gates.into_dispatch(),
        weight.into_dispatch(),
        begin.into_dispatch(),
    ))
}

/// A function of the rows of `z` [n, M] and `given` [n, k], both on the CPU and in f32 ([`is_fused`]).
pub fn row_map(z: Tensor<2>, given: Tensor<2>, map: RowMap) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOperations>::fused_row_map(
        z.into_dispatch(),
        given.into_dispatch(),
        map,
    ))
}

/// `(1 + scale) * norm(x) + shift`, the norm without weights; `modulation` [K, 2 width].
pub fn modulated_norm(x: Tensor<2>, modulation: Tensor<2>) -> Tensor<2> {
    if !is_fused(&x) {
        return plain::modulated_norm(x, modulation);
    }
    Tensor::from_dispatch(<Dispatch as FusedOperations>::fused_modulated_norm(
        x.into_dispatch(),
        modulation.into_dispatch(),
    ))
}

/// Residual blocks in a row, each `h + gate * W2 silu(W1 (norm(h) * (1 + scale) + shift))` with its modulation [K, 3
/// width].
pub fn blocks(mut h: Tensor<2>, blocks: Vec<(Tensor<2>, BlockWeights)>) -> Tensor<2> {
    if !is_fused(&h) {
        return (blocks.into_iter()).fold(h, |h, (modulation, weights)| {
            plain::block(h, modulation, weights)
        });
    }
    for blocks in blocks.chunks(gradients::BLOCKS_AT_ONCE) {
        let tensors = blocks.iter().cloned().flat_map(|(modulation, weights)| {
            let [gamma, beta, b1, b2] = [weights.gamma, weights.beta, weights.b1, weights.b2];
            let [gamma, beta, b1, b2] = [gamma, beta, b1, b2].map(Tensor::into_dispatch);
            let [modulation, w1, w2] =
                [modulation, weights.w1, weights.w2].map(Tensor::into_dispatch);
            [modulation, gamma, beta, w1, b1, w2, b2]
        });
        h = Tensor::from_dispatch(<Dispatch as FusedOperations>::fused_blocks(
            h.into_dispatch(),
            Tensors(tensors.collect()),
        ));
    }
    h
}

#[cfg(test)]
mod tests {
    //! The hand-written gradients against Burn's autodiff of the plain operations in f64.

    use super::*;
    use crate::random::Streams;
    use crate::tensors::{from_f32, to_f64};
    use burn::tensor::{DType, Device};

    fn draw<const D: usize>(name: &str, dims: [usize; D], device: &Device) -> Tensor<D> {
        let count = dims.iter().product();
        from_f32(Streams::new(3).normal(name, 0, count), dims, device)
    }

    /// Output and gradients of `f` over `inputs`, weighted by fixed numbers so that no direction is special.
    fn with_gradients<const N: usize>(
        inputs: [Tensor<2>; N],
        f: impl Fn([Tensor<2>; N]) -> Tensor<2>,
    ) -> Vec<Vec<f64>> {
        let inputs = inputs.map(|x| x.require_grad());
        let out = f(inputs.clone());
        let weights = draw("weights", out.dims(), &out.device()).cast(out.dtype());
        let gradients = (out.clone() * weights).sum().backward();
        let mut all = vec![to_f64(out).unwrap()];
        all.extend(inputs.map(|x| to_f64(x.grad(&gradients).unwrap()).unwrap()));
        all
    }

    /// Compares `fused` in f32 with `plain` in f64.
    fn check<const N: usize>(
        inputs: [Tensor<2>; N],
        fused: impl Fn([Tensor<2>; N]) -> Tensor<2>,
        plain: impl Fn([Tensor<2>; N]) -> Tensor<2>,
    ) {
        assert!(is_fused(&inputs[0]));
        let exact = inputs.clone().map(|x| x.cast(DType::F64).detach());
        let found = with_gradients(inputs, fused);
        let exact = with_gradients(exact, plain);
        for (which, (found, exact)) in found.iter().zip(&exact).enumerate() {
            let size = (exact.iter().map(|x| x * x).sum::<f64>() / exact.len() as f64).sqrt();
            for (a, b) in found.iter().zip(exact) {
                assert!(
                    (a - b).abs() < 2e-5 * size.max(1e-3),
                    "{which}: {a} {b} of {size}"
                );
            }
        }
    }

    fn vector(row: Tensor<2>) -> Tensor<1> {
        let [_, width] = row.dims();
        row.reshape([width])
    }

    #[test]
    fn a_linear_layer_has_the_gradients_of_autodiff() {
        let device = Device::flex().autodiff();
        for (n, from, to) in [(1, 1, 1), (70, 33, 40), (300, 64, 96)] {
            let inputs = [
                draw("x", [n, from], &device),
                draw("w", [from, to], &device),
                draw("b", [1, to], &device),
            ];
            check(
                inputs.clone(),
                |[x, w, b]| linear(x, w, vector(b)),
                |[x, w, b]| plain::linear(x, w, vector(b)),
            );
            check(
                inputs,
                |[x, w, b]| linear_silu(x, w, vector(b)),
                |[x, w, b]| plain::silu(plain::linear(x, w, vector(b))),
            );
        }
    }

    #[test]
    fn silu_and_the_modulated_norm_have_the_gradients_of_autodiff() {
        let device = Device::flex().autodiff();
        check(
            [draw("x", [50, 37], &device)],
            |[x]| silu(x),
            |[x]| plain::silu(x),
        );
        for (groups, rows, width) in [(1, 130, 20), (4, 5, 33), (6, 1, 64), (2, 70, 16)] {
            let inputs = [
                draw("x", [groups * rows, width], &device),
                draw("m", [groups, 2 * width], &device),
            ];
            check(
                inputs,
                |[x, m]| modulated_norm(x, m),
                |[x, m]| plain::modulated_norm(x, m),
            );
        }
    }

    /// Test inputs of convolutions: images [n, H, W, C] and weights [O, C, 3, 3] as matrices.
    #[test]
    fn convolutions_have_the_gradients_of_autodiff() {
        let device = Device::flex().autodiff();
        for (n, [height, width], from, to) in [(3, [5, 4], 2, 3), (40, [7, 7], 16, 24)] {
            let halved = [usize::div_ceil(height, 2), usize::div_ceil(width, 2)];
            for silu in [false, true] {
                let kernel = |w: Tensor<2>| w.reshape([to, from, 3, 3]);
                let down = |of: &dyn Fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>,
                            [x, w, b]: [Tensor<2>; 3]| {
                    let x = x.reshape([n, height, width, from]);
                    of(x, kernel(w), vector(b)).reshape([n * halved[0] * halved[1], to])
                };
                let up = |of: &dyn Fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>,
                          [x, w, b]: [Tensor<2>; 3]| {
                    let x = x.reshape([n, halved[0], halved[1], to]);
                    of(x, kernel(w), vector(b)).reshape([n * height * width, from])
                };
                let weights = draw("w", [to, 9 * from], &device);
                check(
                    [
                        draw("x", [n * height * width, from], &device),
                        weights.clone(),
                        draw("b", [1, to], &device),
                    ],
                    |x| down(&|x, w, b| convolution(x, w, b, silu), x),
                    |x| down(&|x, w, b| plain::convolution(x, w, b, silu), x),
                );
                let size = [height, width];
                check(
                    [
                        draw("y", [n * halved[0] * halved[1], to], &device),
                        weights,
                        draw("b", [1, from], &device),
                    ],
                    |x| up(&|x, w, b| transposed_convolution(x, w, b, size, silu), x),
                    |x| {
                        up(
                            &|x, w, b| plain::transposed_convolution(x, w, b, size, silu),
                            x,
                        )
                    },
                );
            }
        }
    }

    #[test]
    fn channels_move_as_in_a_permutation() {
        let device = Device::flex().autodiff();
        let (n, height, width, channels) = (3, 2, 5, 4);
        let to_last = |x: Tensor<2>| x.reshape([n, channels, height, width]);
        check(
            [draw("x", [n, channels * height * width], &device)],
            |[x]| channels_last(to_last(x)).reshape([n, channels * height * width]),
            |[x]| (to_last(x).permute([0, 2, 3, 1])).reshape([n, channels * height * width]),
        );
        let to_first = |x: Tensor<2>| x.reshape([n, height, width, channels]);
        check(
            [draw("x", [n, channels * height * width], &device)],
            |[x]| channels_first(to_first(x)).reshape([n, channels * height * width]),
            |[x]| (to_first(x).permute([0, 3, 1, 2])).reshape([n, channels * height * width]),
        );
    }

    /// A layer over C = 12 channels: h and the weights, as matrices.
    fn of_layer(rows: usize, device: &Device) -> [Tensor<2>; 13] {
        let c = 12;
        let each = [
            ("h", [rows, c]),
            ("gamma1", [1, c]),
            ("beta1", [1, c]),
            ("qkv", [c, 3 * c]),
            ("qkv bias", [1, 3 * c]),
            ("projection", [c, c]),
            ("projection bias", [1, c]),
            ("gamma2", [1, c]),
            ("beta2", [1, c]),
            ("fc1", [c, 20]),
            ("fc1 bias", [1, 20]),
            ("fc2", [20, c]),
            ("fc2 bias", [1, c]),
        ];
        each.map(|(name, dims)| draw::<2>(name, dims, device).mul_scalar(0.5))
    }

    fn layer_weights(weights: [Tensor<2>; 12]) -> LayerWeights {
        let [g1, b1, qkv, bq, projection, bp, g2, b2, fc1, bf1, fc2, bf2] = weights;
        let norm = |gamma, beta| NormWeights {
            gamma: vector(gamma),
            beta: vector(beta),
        };
        let linear = |weight, bias| LinearWeights {
            weight,
            bias: vector(bias),
        };
        LayerWeights {
            norm1: norm(g1, b1),
            qkv: linear(qkv, bq),
            projection: linear(projection, bp),
            norm2: norm(g2, b2),
            fc1: linear(fc1, bf1),
            fc2: linear(fc2, bf2),
        }
    }

    /// Red where a term of a gradient is left out, or belongs to another weight, part of the points or dropout.
    #[test]
    fn a_transformer_layer_has_the_gradients_of_autodiff() {
        let device = Device::flex().autodiff();
        for (points, tokens, heads) in [(3, 7, 2), (70, 1, 1), (2, 33, 3), (60, 5, 1)] {
            for dropout in [false, true] {
                let rows = points * tokens;
                let masks = ["a", "b"].map(|name| Streams::new(8).normal(name, 0, rows * 12));
                let pass = Pass {
                    tokens,
                    heads,
                    temperature: 1.5,
                    rotation: None,
                    dropout: dropout.then(|| masks.clone()),
                };
                let plainly = |[h, weights @ ..]: [Tensor<2>; 13]| {
                    let mut masks = masks.iter();
                    plain::transformer_layer(
                        h,
                        layer_weights(weights),
                        |qkv| plain::attention(qkv, tokens, heads, 1.5),
                        |x| match masks.next().filter(|_| dropout) {
                            None => x,
                            Some(mask) => {
                                let mask = from_f32(mask.clone(), x.dims(), &x.device());
                                x.clone() * mask.cast(x.dtype())
                            }
                        },
                    )
                };
                check(
                    of_layer(rows, &device),
                    |[h, weights @ ..]| transformer_layer(h, layer_weights(weights), pass.clone()),
                    plainly,
                );
            }
        }
    }

    #[test]
    fn an_lstm_has_the_gradients_of_autodiff() {
        let device = Device::flex().autodiff();
        for (n, places, channels) in [(3, 4, 5), (40, 2, 16), (1, 1, 1)] {
            let inputs = [
                draw("gates", [places * n, 4 * channels], &device),
                draw("weight", [channels, 4 * channels], &device),
                draw("begin", [n, 2 * channels], &device),
            ];
            check(
                inputs,
                |[gates, weight, begin]| lstm(gates, weight, begin),
                |[gates, weight, begin]| plain::lstm(gates, weight, begin),
            );
        }
    }

    #[test]
    fn gates_and_bernoulli_losses_have_the_gradients_of_autodiff() {
        let device = Device::flex().autodiff();
        let pair = |a, b| [a, b].map(|name| draw::<2>(name, [70, 301], &device).mul_scalar(4.0));
        check(
            pair("value", "gate"),
            |[v, g]| gated(v, g),
            |[v, g]| plain::gated(v, g),
        );
        check(
            pair("logit", "data"),
            |[l, x]| bernoulli(l, x),
            |[l, x]| plain::bernoulli(l, x),
        );
    }

    fn weights([gamma, beta, w1, b1, w2, b2]: [Tensor<2>; 6]) -> BlockWeights {
        BlockWeights {
            gamma: vector(gamma),
            beta: vector(beta),
            w1,
            b1: vector(b1),
            w2,
            b2: vector(b2),
        }
    }

    /// Compares blocks over (N - 1) / 7 blocks with plain operations.
    fn check_blocks<const N: usize>(groups: usize, rows: usize, width: usize) {
        let device = Device::flex().autodiff();
        let inputs: [Tensor<2>; N] = std::array::from_fn(|i| {
            let two = |dims: [usize; 2]| draw::<2>(&i.to_string(), dims, &device);
            match i.checked_sub(1).map(|i| i % 7) {
                None => two([groups * rows, width]),
                Some(0) => two([groups, 3 * width]),
                Some(3 | 5) => two([width, width]).mul_scalar(0.1),
                Some(_) => two([1, width]),
            }
        });
        fn of_blocks(all: &[Tensor<2>]) -> Vec<(Tensor<2>, BlockWeights)> {
            let (of_blocks, _) = all.as_chunks::<7>();
            let block = |[m, rest @ ..]: [Tensor<2>; 7]| (m, weights(rest));
            of_blocks.iter().cloned().map(block).collect()
        }
        check(
            inputs,
            |all| blocks(all[0].clone(), of_blocks(&all[1..])),
            |all| {
                let h = all[0].clone();
                let of_blocks = of_blocks(&all[1..]).into_iter();
                of_blocks.fold(h, |h, (m, weights)| plain::block(h, m, weights))
            },
        );
    }

    /// Red where blocks are in another order, or a gradient is of another block: of one, and of nine in two nodes.
    #[test]
    fn residual_blocks_have_the_gradients_of_autodiff() {
        for (groups, rows, width) in [(1, 300, 24), (8, 5, 33), (7, 1, 64), (3, 100, 40)] {
            check_blocks::<8>(groups, rows, width);
            check_blocks::<64>(groups, rows, width);
        }
    }

    #[test]
    fn tangents_are_those_of_plain_operations() {
        let device = Device::flex();
        for (n, k, width, same) in [(5, 3, 33, false), (70, 4, 48, true)] {
            let h = draw("h", [n, width], &device);
            let dh = draw::<3>("dh", [if same { 1 } else { n }, k, width], &device);
            let m = draw("m", [1, 3 * width], &device);
            let m2 = draw("m2", [1, 2 * width], &device);
            let readout = draw("readout", [k, width], &device);
            let all = || {
                ["a", "b", "c", "d", "e", "f"].map(|name| match name {
                    "c" | "e" => draw(name, [width, width], &device),
                    _ => draw(name, [1, width], &device),
                })
            };
            let exact = |x: &Tensor<2>| x.clone().cast(DType::F64);
            let dh_exact = dh.clone().cast(DType::F64);
            let close = |found: Vec<f64>, exact: Vec<f64>| {
                let size = (exact.iter().map(|x| x * x).sum::<f64>() / exact.len() as f64).sqrt();
                for (a, b) in found.iter().zip(exact) {
                    assert!((a - b).abs() < 2e-5 * size, "{a} {b} of {size}");
                }
            };
            let found = block_tangents(h.clone(), dh.clone(), m.clone(), weights(all()));
            let expected = plain::block_tangents(
                exact(&h),
                dh_exact.clone(),
                exact(&m),
                weights(all().map(|x| exact(&x))),
            );
            close(to_f64(found.0).unwrap(), to_f64(expected.0).unwrap());
            close(to_f64(found.1).unwrap(), to_f64(expected.1).unwrap());
            close(
                to_f64(modulated_norm_tangents(h.clone(), dh.clone(), m2.clone())).unwrap(),
                to_f64(plain::modulated_norm_tangents(
                    exact(&h),
                    dh_exact.clone(),
                    exact(&m2),
                ))
                .unwrap(),
            );
            let found = block_trace(
                h.clone(),
                dh.clone(),
                m.clone(),
                weights(all()),
                m2.clone(),
                readout.clone(),
            );
            let expected = plain::block_trace(
                exact(&h),
                dh_exact,
                exact(&m),
                weights(all().map(|x| exact(&x))),
                exact(&m2),
                exact(&readout),
            );
            close(to_f64(found.0).unwrap(), to_f64(expected.0).unwrap());
            close(to_f64(found.1).unwrap(), to_f64(expected.1).unwrap());
        }
    }

    #[test]
    fn frozen_weights_leave_the_gradient_of_the_input() {
        let device = Device::flex().autodiff();
        let (groups, rows, width) = (4, 8, 48);
        let fixed = |name, dims| draw::<2>(name, dims, &Device::flex());
        let m = fixed("m", [groups, 3 * width]);
        let rest = ["a", "b", "c", "d", "e", "f"].map(|name| match name {
            "c" | "e" => fixed(name, [width, width]),
            _ => fixed(name, [1, width]),
        });
        let on = |x: &Tensor<2>, dtype| Tensor::<2>::from_inner(x.clone().cast(dtype));
        let all = |dtype| {
            (
                on(&m, dtype),
                weights(rest.each_ref().map(|x| on(x, dtype))),
            )
        };
        check(
            [draw("h", [groups * rows, width], &device)],
            |[h]| {
                let (m, weights) = all(DType::F32);
                blocks(h, vec![(m, weights)])
            },
            |[h]| {
                let (m, weights) = all(DType::F64);
                plain::block(h, m, weights)
            },
        );
    }
}
