//! The weights and settings of a transformer layer.

use super::flex::values;
use super::weights::NORM_EPSILON;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, ExtensionType};
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

/// The tensors of [`LayerWeights`], of which each may have a graph.
#[derive(ExtensionType)]
pub struct LayerTensors<B: Backend> {
    gamma1: FloatTensor<B>,
    beta1: FloatTensor<B>,
    qkv: FloatTensor<B>,
    qkv_bias: FloatTensor<B>,
    projection: FloatTensor<B>,
    projection_bias: FloatTensor<B>,
    gamma2: FloatTensor<B>,
    beta2: FloatTensor<B>,
    fc1: FloatTensor<B>,
    fc1_bias: FloatTensor<B>,
    fc2: FloatTensor<B>,
    fc2_bias: FloatTensor<B>,
}

impl<B: Backend> LayerTensors<B> {
    /// In the order of [`kernels::LayerGradient`].
    pub(super) fn all(self) -> [FloatTensor<B>; 12] {
        [
            self.gamma1,
            self.beta1,
            self.qkv,
            self.qkv_bias,
            self.projection,
            self.projection_bias,
            self.gamma2,
            self.beta2,
            self.fc1,
            self.fc1_bias,
            self.fc2,
            self.fc2_bias,
        ]
    }
}

impl LayerWeights {
    pub(super) fn into_dispatch(self) -> LayerTensors<Dispatch> {
        LayerTensors {
            gamma1: self.norm1.gamma.into_dispatch(),
            beta1: self.norm1.beta.into_dispatch(),
            qkv: self.qkv.weight.into_dispatch(),
            qkv_bias: self.qkv.bias.into_dispatch(),
            projection: self.projection.weight.into_dispatch(),
            projection_bias: self.projection.bias.into_dispatch(),
            gamma2: self.norm2.gamma.into_dispatch(),
            beta2: self.norm2.beta.into_dispatch(),
            fc1: self.fc1.weight.into_dispatch(),
            fc1_bias: self.fc1.bias.into_dispatch(),
            fc2: self.fc2.weight.into_dispatch(),
            fc2_bias: self.fc2.bias.into_dispatch(),
        }
    }
}

/// A layer of `pass` with `weights` in the order of [`LayerTensors::all`].
pub(super) fn layer<'a>(
    weights: &'a [FlexTensor; 12],
    pass: &'a Pass,
) -> kernels::TransformerLayer<'a> {
    let weights = weights.each_ref().map(values);
    let norm = |i: usize| kernels::Norm {
        gamma: weights[i],
        beta: weights[i + 1],
    };
    let linear = |i: usize| kernels::Linear {
        weight: weights[i],
        bias: weights[i + 1],
    };
    let channels = weights[0].len();
    kernels::TransformerLayer {
        norm1: norm(0),
        qkv: linear(2),
        projection: linear(4),
        norm2: norm(6),
        fc1: linear(8),
        fc2: linear(10),
        attention: Attention {
            tokens: pass.tokens,
            heads: pass.heads,
            head_width: channels / pass.heads,
            temperature: pass.temperature as f32,
        },
        rotation: (pass.rotation.as_ref()).map(|[cosines, sines]| Rotation { cosines, sines }),
        dropout: (pass.dropout.as_ref()).map(|masks| masks.each_ref().map(Vec::as_slice)),
        epsilon: NORM_EPSILON as f32,
    }
}
