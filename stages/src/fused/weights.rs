//! The weights of a residual block of the velocity network.

use burn::tensor::Tensor;

/// Added to the variance in every layer norm, as in MAR (arXiv 2406.11838).
pub const NORM_EPSILON: f64 = 1e-6;

/// The weights of a residual block: gamma, beta, b1, b2 `[width]`; w1, w2 [width, width] as [in, out].
#[derive(Debug, Clone)]
pub struct BlockWeights {
    /// Factor of the layer norm.
    pub gamma: Tensor<1>,
    /// Summand of the layer norm.
    pub beta: Tensor<1>,
    /// First linear layer.
    pub w1: Tensor<2>,
    /// Its bias.
    pub b1: Tensor<1>,
    /// Second linear layer.
    pub w2: Tensor<2>,
    /// Its bias.
    pub b2: Tensor<1>,
}
