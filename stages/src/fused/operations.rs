//! The operations that Burn dispatches: forward passes on CPU tensors.

use super::flex::{dims, tensor, values, whole};
use super::layer::{Pass, layer};
use super::tensors::Tensors;
use super::weights::NORM_EPSILON;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Flex, backend_extension};
use latent_align_kernels::{
    Block, Blocks, LayerNorm, Lstm, LstmKept, Matrix, Moments, RowMap, bernoulli, gated,
    layer_norm, product_bias_silu, product_plus_bias, silu,
};
use std::sync::Arc;

/// See the functions of the same names in [`super`].
#[backend_extension(Autodiff, Flex)]
pub trait FusedOperations: Backend {
    /// `x weight + bias`.
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// SiLU of `x weight + bias`.
    fn fused_linear_silu(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// SiLU.
    fn fused_silu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// A gate.
    fn fused_gated(value: FloatTensor<Self>, gate: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Bernoulli losses.
    fn fused_bernoulli(logit: FloatTensor<Self>, data: FloatTensor<Self>) -> FloatTensor<Self>;

    /// A transformer layer.
    fn fused_transformer_layer(
        h: FloatTensor<Self>,
        #[extension_type] weights: Tensors<Self>,
        pass: Arc<Pass>,
    ) -> FloatTensor<Self>;

    /// An LSTM.
    fn fused_lstm(
        gates: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        begin: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// A function of rows.
    fn fused_row_map(
        z: FloatTensor<Self>,
        given: FloatTensor<Self>,
        map: RowMap,
    ) -> FloatTensor<Self>;

    /// `(1 + scale) * norm(x) + shift`.
    fn fused_modulated_norm(
        x: FloatTensor<Self>,
        modulation: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Residual blocks, with modulation, gamma, beta, w1, b1, w2 and b2 of each.
    fn fused_blocks(
        h: FloatTensor<Self>,
        #[extension_type] of_blocks: Tensors<Self>,
    ) -> FloatTensor<Self>;
}

impl FusedOperations for Flex {
    fn fused_linear(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let (x, weight, bias) = (whole(x), whole(weight), whole(bias));
        let ([rows, _], [_, columns]) = (dims(&x), dims(&weight));
        let out = product_plus_bias(matrix(&x), matrix(&weight), values(&bias));
        tensor(out, [rows, columns])
    }

    fn fused_linear_silu(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        linear_silu(&whole(x), &whole(weight), &whole(bias), false).0
    }

    fn fused_silu(x: FlexTensor) -> FlexTensor {
        let x = whole(x);
        tensor(silu(values(&x)), dims(&x))
    }

    fn fused_gated(value: FlexTensor, gate: FlexTensor) -> FlexTensor {
        let (value, gate) = (whole(value), whole(gate));
        tensor(gated(values(&value), values(&gate)), dims(&value))
    }

    fn fused_bernoulli(logit: FlexTensor, data: FlexTensor) -> FlexTensor {
        let (logit, data) = (whole(logit), whole(data));
        tensor(bernoulli(values(&logit), values(&data)), dims(&logit))
    }

    fn fused_transformer_layer(
        h: FlexTensor,
        weights: Tensors<Self>,
        pass: Arc<Pass>,
    ) -> FlexTensor {
        let (h, weights) = (whole(h), weights.array().map(whole));
        tensor(layer(&weights, &pass).forward(values(&h)), dims(&h))
    }

    fn fused_lstm(gates: FlexTensor, weight: FlexTensor, begin: FlexTensor) -> FlexTensor {
        let (gates, weight, begin) = (whole(gates), whole(weight), whole(begin));
        let out = lstm(&begin).states(values(&gates), values(&weight), values(&begin));
        let [_, columns] = dims(&begin);
        let rows = out.len() / columns;
        tensor(out, [rows, columns])
    }

    fn fused_row_map(z: FlexTensor, given: FlexTensor, map: RowMap) -> FlexTensor {
        let (z, given) = (whole(z), whole(given));
        let ([rows, size], [_, count]) = (dims(&z), dims(&given));
        let out = map.forward(values(&z), values(&given), rows);
        tensor(out, [rows, map.width(size, count)])
    }

    fn fused_modulated_norm(x: FlexTensor, modulation: FlexTensor) -> FlexTensor {
        let (x, modulation) = (whole(x), whole(modulation));
        normed(&x, &modulation).0
    }

    fn fused_blocks(h: FlexTensor, of_blocks: Tensors<Self>) -> FlexTensor {
        let h = whole(h);
        let of_blocks: Vec<_> = of_blocks.0.into_iter().map(whole).collect();
        tensor(blocks(&of_blocks).forward(values(&h)), dims(&h))
    }
}

/// SiLU of a linear layer, and its derivative if it is to be kept.
pub(super) fn linear_silu(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: &FlexTensor,
    keep: bool,
) -> (FlexTensor, Vec<f32>) {
    let ([rows, _], [_, columns]) = (dims(x), dims(weight));
    let (out, slope) = product_bias_silu(matrix(x), matrix(weight), values(bias), keep);
    (tensor(out, [rows, columns]), slope)
}

/// A contiguous matrix.
pub(super) fn matrix(tensor: &FlexTensor) -> Matrix<'_> {
    let [rows, columns] = dims(tensor);
    Matrix::new(values(tensor), rows, columns)
}

/// An LSTM with initial state `begin` [n, 2 C].
pub(super) fn lstm(begin: &FlexTensor) -> Lstm {
    let [sequences, columns] = dims(begin);
    Lstm {
        sequences,
        channels: columns / 2,
    }
}

/// h and c of an LSTM [T n, 2 C], and what its gradient needs.
pub(super) fn lstm_states(
    gates: &FlexTensor,
    weight: &FlexTensor,
    begin: &FlexTensor,
) -> (FlexTensor, LstmKept) {
    let of = lstm(begin);
    let (out, kept) = of.forward(values(gates), values(weight), values(begin));
    let [rows, _] = dims(gates);
    (tensor(out, [rows, 2 * of.channels]), kept)
}

/// The layer norm of rows of `x` under a modulation of shift and scale.
pub(super) fn norm<'a>(x: &FlexTensor, modulation: &'a FlexTensor) -> LayerNorm<'a> {
    let [rows, width] = dims(x);
    let [groups, stride] = dims(modulation);
    LayerNorm {
        width,
        rows_per_group: rows / groups,
        modulation: values(modulation),
        stride,
        weights: None,
        epsilon: NORM_EPSILON as f32,
    }
}

/// The layer norm of `x`, and the moments of its rows.
pub(super) fn normed(x: &FlexTensor, modulation: &FlexTensor) -> (FlexTensor, Vec<Moments>) {
    let (out, moments) = layer_norm(norm(x, modulation), values(x));
    (tensor(out, dims(x)), moments)
}

/// Blocks from modulation, gamma, beta, w1, b1, w2, b2 of each.
pub(super) fn blocks(tensors: &[FlexTensor]) -> Blocks<'_> {
    let (of_blocks, _) = tensors.as_chunks::<OF_BLOCK>();
    Blocks::new(of_blocks.iter().map(block).collect())
}

/// The number of tensors of a block.
pub(super) const OF_BLOCK: usize = 7;

/// A block from modulation, gamma, beta, w1, b1, w2, b2.
pub(super) fn block(tensors: &[FlexTensor; OF_BLOCK]) -> Block<'_> {
    let [modulation, gamma, beta, w1, b1, w2, b2] = tensors.each_ref().map(values);
    Block {
        gamma,
        beta,
        w1,
        b1,
        w2,
        b2,
        modulation,
        epsilon: NORM_EPSILON as f32,
    }
}
