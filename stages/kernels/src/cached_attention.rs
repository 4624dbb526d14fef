//! Causal attention of new tokens to those before them, whose keys and values are kept.

use crate::attention::{LANES, combine, softmax};
use crate::level::for_each_level;
use crate::parallel::*;

/// Keys and values of the tokens so far of n points.
#[derive(Debug, Clone)]
pub struct CachedAttention {
    heads: usize,
    head_width: usize,
    /// n.
    points: usize,
    /// Tokens so far.
    read: usize,
    /// Tokens there is room for, a multiple of the vector width.
    room: usize,
    /// Keys as columns, [n, heads, head width, room]; 0 where there are none yet.
    keys: Vec<f32>,
    /// [n, heads, room, head width].
    values: Vec<f32>,
}

impl CachedAttention {
    /// Without tokens yet.
    pub fn new(points: usize, heads: usize, head_width: usize) -> Self {
        Self {
            heads,
            head_width,
            points,
            read: 0,
            room: 0,
            keys: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Forgets all but the first `read` tokens.
    ///
    /// # Panics
    /// If fewer were read.
    pub fn rewind(&mut self, read: usize) {
        assert!(read <= self.read, "tokens that were not read");
        // keys and values beyond are never used before they are written again
        self.read = read;
    }

    /// Output [n m, C] for queries, keys and values `qkv` [n m, 3 C] of m more tokens of each point, ordered by part,
    /// head, then head width. Each token sees itself and earlier ones; logits are divided by `temperature`.
    ///
    /// # Panics
    /// Where `qkv` does not hold equally many whole tokens for each point.
    pub fn forward(&mut self, qkv: &[f32], temperature: f32) -> Vec<f32> {
        let channels = self.heads * self.head_width;
        let of_points = self.points * 3 * channels;
        if qkv.is_empty() {
            return Vec::new();
        }
        assert!(
            qkv.len().is_multiple_of(of_points),
            "whole tokens of each point"
        );
        let new = qkv.len() / of_points;
        self.make_room(self.read + new);
        let shape = Shape {
            heads: self.heads,
            width: self.head_width,
            room: self.room,
            read: self.read,
            scale: 1.0 / ((self.head_width as f32).sqrt() * temperature),
        };
        let kept = channels * self.room;
        let mut out = vec![0.0; qkv.len() / 3];
        (
            out.par_chunks_mut(new * channels),
            self.keys.par_chunks_mut(kept),
            self.values.par_chunks_mut(kept),
            qkv.par_chunks(new * 3 * channels),
        )
            .for_each(|(out, keys, values, qkv)| attend(&shape, out, keys, values, qkv));
        self.read += new;
        out
    }

    /// Makes room for `tokens`.
    fn make_room(&mut self, tokens: usize) {
        if tokens <= self.room {
            return;
        }
        let (width, heads) = (self.head_width, self.points * self.heads);
        let room = (2 * self.room).max(tokens).next_multiple_of(LANES);
        let mut keys = vec![0.0; heads * width * room];
        let mut values = keys.clone();
        if self.room > 0 {
            for (to, from) in keys.chunks_mut(room).zip(self.keys.chunks(self.room)) {
                to[..self.room].copy_from_slice(from);
            }
            let (to, from) = (width * room, width * self.room);
            for (to, from) in values.chunks_mut(to).zip(self.values.chunks(from)) {
                to[..from.len()].copy_from_slice(from);
            }
        }
        (self.room, self.keys, self.values) = (room, keys, values);
    }
}

/// What the tokens of a point have in common.
struct Shape {
    heads: usize,
    width: usize,
    room: usize,
    /// Tokens before.
    read: usize,
    /// Factor on products of queries and keys.
    scale: f32,
}

for_each_level! {
    /// Of one point: `out` [m, C], `keys` and `values` of the point, `qkv` [m, 3 C].
    fn attend(of: &Shape, out: &mut [f32], keys: &mut [f32], values: &mut [f32], qkv: &[f32]) {
        let &Shape { heads, width, room, read, scale } = of;
        let channels = heads * width;
        let mut weights = vec![0.0; room];
        let mut query = vec![0.0; width];
        for (token, (out, qkv)) in out.chunks_exact_mut(channels).zip(qkv.chunks_exact(3 * channels)).enumerate() {
            let place = read + token;
            for head in 0..heads {
                let part = |i: usize| &qkv[i * channels + head * width..][..width];
                let keys = &mut keys[head * width * room..][..width * room];
                let values = &mut values[head * width * room..][..width * room];
                for (column, key) in keys.chunks_exact_mut(room).zip(part(1)) {
                    column[place] = *key;
                }
                values[place * width..][..width].copy_from_slice(part(2));
                for (query, x) in query.iter_mut().zip(part(0)) {
                    *query = scale * x;
                }
                combine(&mut weights, &query, keys);
                softmax(&mut weights, place + 1);
                combine(&mut out[head * width..][..width], &weights[..place + 1], values);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::Attention;

    /// Red where a token sees a later one, forgets an earlier one when room is made, or points or heads are mixed up.
    #[test]
    fn tokens_read_in_parts_are_those_read_at_once() {
        let (points, tokens, heads, head_width) = (3, 37, 2, 4);
        let channels = heads * head_width;
        let qkv: Vec<f32> = (0..points * tokens * 3 * channels)
            .map(|i| (i as f32 * 0.7).sin() * 1.5)
            .collect();
        let whole = Attention {
            tokens,
            heads,
            head_width,
            temperature: 1.0,
        };
        let expected = whole.forward(&qkv);
        let mut cached = CachedAttention::new(points, heads, head_width);
        let mut at = 0;
        for new in [1, 1, 13, 2, 20] {
            // tokens that are taken back leave no trace
            cached.forward(&vec![9.0; points * 3 * 3 * channels], 1.0);
            cached.rewind(at);
            let rows = |values: &[f32], width: usize| -> Vec<f32> {
                let points = values.chunks(tokens * width);
                points
                    .flat_map(|point| point[at * width..(at + new) * width].to_vec())
                    .collect()
            };
            let found = cached.forward(&rows(&qkv, 3 * channels), 1.0);
            for (found, expected) in found.iter().zip(rows(&expected, channels)) {
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
            at += new;
        }
    }

    /// Red where the temperature multiplies logits, or is left out.
    #[test]
    fn a_high_temperature_flattens_attention() {
        let qkv = |query: f32, key: f32, value: f32| [query, key, value];
        let mut cached = CachedAttention::new(1, 1, 1);
        cached.forward(&qkv(1.0, 4.0, 1.0), 2.0);
        let found = cached.forward(&qkv(1.0, 0.0, 0.0), 2.0)[0];
        let expected = 1.0 / (1.0 + (-2.0f32).exp());
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}
