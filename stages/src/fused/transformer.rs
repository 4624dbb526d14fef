//! A causal transformer layer as one operation.

use super::flex::{dims, primitive, tensor, values, whole};
use super::layer::{LayerWeights, Pass, layer};
use super::operations::FusedOperations;
use super::tensors::Tensors;
use burn::backend::flex::FlexTensor;
use burn::backend::{Dispatch, Flex};
use burn::tensor::Tensor;
use latent_align_kernels::CachedLayer;
use std::sync::Arc;

/// A layer over tokens `h` [n tokens, C], on the CPU in f32:
///
/// ```text
/// h = h + dropout * (W attention(W norm(h) + b) + b)           causal, of each point's tokens
/// h = h + dropout * (W gelu(W norm(h) + b) + b)
/// ```
///
/// # Panics
/// Elsewhere, where [`super::plain::transformer_layer`] is the same.
pub fn transformer_layer(h: Tensor<2>, weights: LayerWeights, pass: Pass) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOperations>::fused_transformer_layer(
        h.into_dispatch(),
        Tensors(
            weights
                .each(Tensor::into_dispatch, Tensor::into_dispatch)
                .into(),
        ),
        Arc::new(pass),
    ))
}

/// A layer that reads tokens in parts, on the CPU in f32 without gradients.
#[derive(Debug, Clone)]
pub struct LayerReader {
    weights: [FlexTensor; 12],
    cached: CachedLayer,
}

impl LayerReader {
    /// A reader of `points` that have no tokens yet; tokens come in passes like `pass`.
    pub fn new(weights: LayerWeights, points: usize, pass: &Pass) -> Self {
        let weights = weights.each(primitive, primitive).map(whole);
        let cached = CachedLayer::new(&layer(&weights, pass), points);
        Self { weights, cached }
    }

    /// The pass over more tokens `h` [n m, C], m of each point.
    pub fn forward(&mut self, h: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let h = whole(primitive(h));
        let out = self.cached.forward(&layer(&self.weights, pass), values(&h));
        Tensor::from_primitive::<Flex>(tensor(out, dims(&h)))
    }

    /// Forgets all but the first `read` tokens.
    pub fn rewind(&mut self, read: usize) {
        self.cached.rewind(read);
    }
}
