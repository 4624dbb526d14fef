//! Rotary positional encoding: queries and keys are rotated by angles that depend on their token.

use crate::attention::Attention;
use crate::level::for_each_level;
use crate::parallel::*;

/// Cosines and sines of the angles of each token, [tokens, head width / 2]. Component i of a head turns with component
/// i + head width / 2.
#[derive(Debug, Clone, Copy)]
pub struct Rotation<'a> {
    pub cosines: &'a [f32],
    pub sines: &'a [f32],
}

impl Rotation<'_> {
    /// Rotates queries and keys in `qkv` [n tokens, 3 C].
    pub(super) fn turn(self, of: Attention, qkv: &mut [f32]) {
        self.each(of, qkv, 1.0);
    }

    /// Rotates them back: the gradient of [`Self::turn`].
    pub(super) fn turn_back(self, of: Attention, qkv: &mut [f32]) {
        self.each(of, qkv, -1.0);
    }

    /// Rotates by `direction` times the angles.
    fn each(self, of: Attention, qkv: &mut [f32], direction: f32) {
        let row = 3 * of.heads * of.head_width;
        qkv.par_chunks_mut(of.tokens * row).for_each(|point| {
            let half = of.head_width / 2;
            let angles = self
                .cosines
                .chunks_exact(half)
                .zip(self.sines.chunks_exact(half));
            for (row, (cosines, sines)) in point.chunks_exact_mut(row).zip(angles) {
                let (turned, _) = row.split_at_mut(2 * of.heads * of.head_width);
                heads(turned, cosines, sines, direction);
            }
        });
    }
}

for_each_level! {
    fn heads(rows: &mut [f32], cosines: &[f32], sines: &[f32], direction: f32) {
        for head in rows.chunks_exact_mut(2 * cosines.len()) {
            let (a, b) = head.split_at_mut(cosines.len());
            for ((a, b), (cos, sin)) in a.iter_mut().zip(b).zip(cosines.iter().zip(sines)) {
                let sin = direction * sin;
                (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
            }
        }
    }
}
