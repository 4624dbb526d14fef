//! CPU arithmetic of the networks in f32: matrix products with fused epilogues, convolutions, layer norms,
//! attention, SiLU, GELU and AdamW, forward and backward, each in one pass over memory.
//!
//! Vector instructions are chosen at run time ([`Level`]). Results do not depend on the number of threads: the
//! order of every sum depends on shapes only.
//!
//! Nothing public is generic, so the kernels are compiled here, with this crate's settings.

#![deny(clippy::missing_errors_doc)]
#![allow(clippy::too_many_arguments)] // kernels take their operands one by one

mod activation;
mod adamw;
mod allocator;
mod attention;
mod block;
mod block_tangents;
mod blocks;
mod cached_attention;
mod convolution;
mod dense;
mod double;
mod elementwise;
mod fresh;
mod gate;
mod layer_norm;
mod level;
mod logistic;
mod lstm;
mod matmul;
mod parallel;
mod row_map;
mod segments;
mod shared;
mod slope;
mod tangents;
mod team;
#[cfg(test)]
mod tests;
mod transformer;

pub use activation::{silu, silu_gradient};
pub use adamw::{AdamW, Parameter, adamw, sums_of_squares};
pub use allocator::keep_freed_memory;
pub use attention::Attention;
pub use block::{Block, BlockGradient};
pub use blocks::{Blocks, Keep, Kept};
pub use convolution::{After, Convolution, Image, turn_images};
pub use dense::{Room, covariances, multiply, small_factor, waves};
pub use double::{Correlation, inner_products, weighted_correlations};
pub use layer_norm::{
    LayerNorm, Moments, NormGradient, layer_norm, layer_norm_gradient, layer_norm_tangents,
    moments, side_by_side,
};
pub use level::Level;
pub use logistic::{
    bernoulli, bernoulli_by_data, bernoulli_by_logit, gated, gated_by_gate, gated_by_value,
};
pub use lstm::{Lstm, LstmGradient, LstmKept};
pub use matmul::{
    LinearGradient, Matrix, Onto, linear_gradient, product, product_bias_silu, product_plus_bias,
};
pub use row_map::RowMap;
pub use segments::sum_of_rows;
pub use slope::slope_gradient;
pub use tangents::Tangents;
pub use transformer::{
    CachedLayer, LayerGradient, LayerKept, Linear, Norm, Rotation, TransformerLayer,
};
