//! A causal transformer layer on slices, forward and backward:
//!
//! ```text
//! a = h + mask * (W attention(W norm(h) + b) + b)           queries and keys rotated
//! out = a + mask * (W gelu(W norm(a) + b) + b)
//! ```
//!
//! Points do not depend on each other. A task takes the points of about 100 rows through the whole layer, so that
//! its activations stay in the cache; where weights are too large for that, each product is shared by all threads.

mod cached;
mod forward;
mod gradient;
mod layer;
mod rotation;
#[cfg(test)]
mod tests;

pub use cached::CachedLayer;
pub use gradient::LayerGradient;
pub use layer::{LayerKept, Linear, Norm, TransformerLayer};
pub use rotation::Rotation;
