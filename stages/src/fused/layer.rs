//! The weights and settings of a transformer layer.

use super::flex::values;
use super::weights::NORM_EPSILON;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use latent_align_kernels::{self as kernels, Attention, Rotation};

/// Factor and summand of a layer norm, each `[C]`.
#[derive(Debug, Clone)]
pub struct NormWeights {
    pub gamma: Tensor<1>,
    pub beta: Tensor<1>,
}

/// Weight [in, out] and bias `[out]` of a linear layer.
#[derive(Debug, Clone)]
pub struct LinearWeights {
    pub weight: Tensor<2>,
    pub bias: Tensor<1>,
}

/// The weights of a transformer layer over C channels.
#[derive(Debug, Clone)]
pub struct LayerWeights {
    pub norm1: NormWeights,
    /// Queries, keys and values, [C, 3 C], each ordered by head, then head width.
    pub qkv: LinearWeights,
    pub projection: LinearWeights,
    pub norm2: NormWeights,
    pub fc1: LinearWeights,
    pub fc2: LinearWeights,
}

/// The settings of a pass.
#[derive(Debug, Clone)]
pub struct Pass {
    /// Tokens per point.
    pub tokens: usize,
    pub heads: usize,
    /// Divisor of the attention logits.
    pub temperature: f64,
    /// Cosines and sines of the angles by which queries and keys turn, each [tokens, head width / 2].
    pub rotation: Option<[Vec<f32>; 2]>,
    /// Factors on what attention and the MLP add, each [n tokens, C].
    pub dropout: Option<[Vec<f32>; 2]>,
}

impl LayerWeights {
    /// What `vector` or `matrix` makes of each, in the order of [`kernels::LayerGradient`].
    pub(super) fn each<T>(
        self,
        vector: impl Fn(Tensor<1>) -> T,
        matrix: impl Fn(Tensor<2>) -> T,
    ) -> [T; 12] {
        let norm = |norm: NormWeights| [norm.gamma, norm.beta].map(&vector);
        let linear = |linear: LinearWeights| [matrix(linear.weight), vector(linear.bias)];
        let [[g1, b1], [g2, b2]] = [self.norm1, self.norm2].map(norm);
        let [[qkv, b_qkv], [out, b_out], [fc1, b_fc1], [fc2, b_fc2]] =
            [self.qkv, self.projection, self.fc1, self.fc2].map(linear);
        [
            g1, b1, qkv, b_qkv, out, b_out, g2, b2, fc1, b_fc1, fc2, b_fc2,
        ]
    }
}

/// A layer of `pass` with `weights` in the order of [`LayerWeights::each`].
pub(super) fn layer<'a>(
    weights: &'a [FlexTensor; 12],
    pass: &'a Pass,
) -> kernels::TransformerLayer<'a> {
    let weights = weights.each_ref().map(values);
    let attention = Attention {
        tokens: pass.tokens,
        heads: pass.heads,
        head_width: weights[0].len() / pass.heads,
        temperature: pass.temperature as f32,
    };
    let layer = kernels::TransformerLayer::new(weights, attention, NORM_EPSILON as f32);
    kernels::TransformerLayer {
        rotation: (pass.rotation.as_ref()).map(|[cosines, sines]| Rotation { cosines, sines }),
        dropout: (pass.dropout.as_ref()).map(|masks| masks.each_ref().map(Vec::as_slice)),
        ..layer
    }
}
