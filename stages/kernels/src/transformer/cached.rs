//! A layer that reads tokens in parts, and keeps the keys and values of those before.

use super::forward::Places;
use super::layer::{PackedLayer, TransformerLayer};
use crate::cached_attention::CachedAttention;
use crate::fresh::Fresh;

/// The keys and values that a layer has read so far, and its packed weights.
#[derive(Debug, Clone)]
pub struct CachedLayer {
    packed: PackedLayer,
    seen: CachedAttention,
}

impl CachedLayer {
    /// Without tokens yet, of `points`, for passes of `layer`, whose weights do not change.
    pub fn new(layer: &TransformerLayer, points: usize) -> Self {
        let of = layer.attention;
        Self {
            packed: layer.packed(),
            seen: CachedAttention::new(points, of.heads, of.head_width),
        }
    }

    /// Forgets all but the first `read` tokens.
    ///
    /// # Panics
    /// If fewer were read.
    pub fn rewind(&mut self, read: usize) {
        self.seen.rewind(read);
    }

    /// The pass of `layer` over more tokens `h` [n m, C], m of each point.
    pub fn forward(&mut self, layer: &TransformerLayer, h: &[f32]) -> Vec<f32> {
        let rows = h.len() / layer.channels();
        let mut kept = layer.widths().map(|width| Fresh::new(rows * width));
        let mut out = Fresh::new(h.len());
        let [qkv, attended, after, inner] = kept.each_mut().map(Fresh::room);
        let places = Places {
            qkv,
            attended,
            h: after,
            inner,
            out: out.room(),
        };
        layer.forward_part(&self.packed, h, 0..rows, places, |qkv, out| {
            let attended = self.seen.forward(qkv, layer.attention.temperature);
            out.write_copy_of_slice(&attended);
        });
        // SAFETY: the pass writes every element.
        unsafe { out.written() }
    }
}
