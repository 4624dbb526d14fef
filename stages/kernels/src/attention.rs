//! Multi-head causal self-attention, forward and backward. For each point and head:
//!
//! ```text
//! P = softmax(Q K^T / sqrt(head width), each token seeing itself and earlier ones)            O = P V
//! ```
//!
//! P is never stored as a whole; the backward pass recomputes it.

use crate::activation::exponential;
use crate::level::for_each_level;
use crate::parallel::*;

/// Shape of an attention layer.
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    /// Tokens per point.
    pub tokens: usize,
    pub heads: usize,
    /// Width of queries, keys and values per token and head.
    pub head_width: usize,
}

/// Maximum number of f32 in a vector register.
pub(crate) const LANES: usize = 16;

impl Attention {
    fn channels(&self) -> usize {
        self.heads * self.head_width
    }

    /// Tokens per point, rounded up to a multiple of the vector width.
    fn padded(&self) -> usize {
        self.tokens.next_multiple_of(LANES)
    }

    /// Output [n tokens, C] for queries, keys and values `qkv` [n tokens, 3 C], each ordered by head, then head
    /// width.
    pub fn forward(&self, qkv: &[f32]) -> Vec<f32> {
        let (width, of_point) = (self.channels(), self.tokens * self.channels());
        assert_eq!(qkv.len() % (3 * of_point), 0, "parts of points");
        let mut out = vec![0.0; qkv.len() / 3];
        let points = qkv.par_chunks(3 * of_point);
        (out.par_chunks_mut(of_point), points).for_each(|(out, qkv)| {
            let mut room = Room::new(self, false);
            for head in 0..self.heads {
                let at = head * self.head_width;
                room.load(self, qkv, at);
                attend(&mut room, self.tokens, self.head_width);
                store(&room.out, &mut out[at..], width, self.head_width);
            }
        });
        out
    }

    /// Gradient [n tokens, 3 C] with respect to `qkv`, given the `gradient` [n tokens, C] of the output.
    pub fn gradient(&self, qkv: &[f32], gradient: &[f32]) -> Vec<f32> {
        let (width, of_point) = (self.channels(), self.tokens * self.channels());
        assert_eq!(
            qkv.len(),
            3 * gradient.len(),
            "a gradient of another length"
        );
        let mut out = vec![0.0; qkv.len()];
        (
            out.par_chunks_mut(3 * of_point),
            qkv.par_chunks(3 * of_point),
            gradient.par_chunks(of_point),
        )
            .for_each(|(out, qkv, gradient)| {
                let mut room = Room::new(self, true);
                for head in 0..self.heads {
                    let at = head * self.head_width;
                    room.load(self, qkv, at);
                    room.load_gradient(self, gradient, at);
                    attend_back(&mut room, self.tokens, self.head_width);
                    for (part, of) in [&room.dq, &room.dk, &room.dv].into_iter().enumerate() {
                        store(
                            of,
                            &mut out[part * width + at..],
                            3 * width,
                            self.head_width,
                        );
                    }
                }
            });
        out
    }
}

/// One head of one point, with scratch space.
struct Room {
    /// [tokens, head width].
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    /// Keys as columns, [head width, padded].
    k_columns: Vec<f32>,
    /// Attention weights of a token, `[padded]`.
    weights: Vec<f32>,
    /// [tokens, head width].
    out: Vec<f32>,
    /// Backward pass: gradients of the output, values as columns, and results.
    dout: Vec<f32>,
    v_columns: Vec<f32>,
    dweights: Vec<f32>,
    dq: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
}

impl Room {
    fn new(of: &Attention, back: bool) -> Self {
        let (rows, columns) = (of.tokens * of.head_width, of.head_width * of.padded());
        let zeros = |there: bool, count: usize| vec![0.0; if there { count } else { 0 }];
        Self {
            q: zeros(true, rows),
            k: zeros(true, rows),
            v: zeros(true, rows),
            k_columns: zeros(true, columns),
            weights: zeros(true, of.padded()),
            out: zeros(!back, rows),
            dout: zeros(back, rows),
            v_columns: zeros(back, columns),
            dweights: zeros(back, of.padded()),
            dq: zeros(back, rows),
            dk: zeros(back, rows),
            dv: zeros(back, rows),
        }
    }

    /// Loads the head at column `at` of `qkv` [tokens, 3 C] and divides queries by the square root of their width.
    fn load(&mut self, of: &Attention, qkv: &[f32], at: usize) {
        let (width, channels) = (of.head_width, of.channels());
        let scale = 1.0 / (width as f32).sqrt();
        for (token, row) in qkv.chunks_exact(3 * channels).enumerate() {
            let rows = token * width..(token + 1) * width;
            let part = |i: usize| &row[i * channels + at..i * channels + at + width];
            for (q, x) in self.q[rows.clone()].iter_mut().zip(part(0)) {
                *q = scale * x;
            }
            self.k[rows.clone()].copy_from_slice(part(1));
            self.v[rows].copy_from_slice(part(2));
        }
        transpose(&self.k, &mut self.k_columns, width, of.padded());
    }

    /// Loads the gradient of the output of the head at column `at` of `gradient` [tokens, C].
    fn load_gradient(&mut self, of: &Attention, gradient: &[f32], at: usize) {
        let width = of.head_width;
        for (token, row) in gradient.chunks_exact(of.channels()).enumerate() {
            self.dout[token * width..(token + 1) * width].copy_from_slice(&row[at..at + width]);
        }
        transpose(&self.v, &mut self.v_columns, width, of.padded());
        self.dk.fill(0.0);
        self.dv.fill(0.0);
    }
}

/// Transposes `rows` [tokens, width] into `columns` [width, padded].
fn transpose(rows: &[f32], columns: &mut [f32], width: usize, padded: usize) {
    for (token, row) in rows.chunks_exact(width).enumerate() {
        for (column, x) in columns.chunks_exact_mut(padded).zip(row) {
            column[token] = *x;
        }
    }
}

/// Writes `rows` [tokens, width] to `out` with row stride `stride`.
fn store(rows: &[f32], out: &mut [f32], stride: usize, width: usize) {
    for (row, out) in rows.chunks_exact(width).zip(out.chunks_mut(stride)) {
        out[..width].copy_from_slice(row);
    }
}

/// `out = sum over i of factors_i rows_i`, rows [factors, out].
#[inline(always)]
pub(crate) fn combine(out: &mut [f32], factors: &[f32], rows: &[f32]) {
    let width = out.len();
    out.fill(0.0);
    let mut fours = factors.chunks_exact(4);
    let mut at = 0;
    for four in &mut fours {
        let (a, rest) = rows[at..at + 4 * width].split_at(width);
        let (b, rest) = rest.split_at(width);
        let (c, d) = rest.split_at(width);
        for j in 0..width {
            out[j] += four[0] * a[j] + four[1] * b[j] + four[2] * c[j] + four[3] * d[j];
        }
        at += 4 * width;
    }
    for &factor in fours.remainder() {
        for (out, x) in out.iter_mut().zip(&rows[at..at + width]) {
            *out += factor * x;
        }
        at += width;
    }
}

/// Sum of `x`, whose length is a multiple of [`LANES`]. The order of summation depends on the length only.
#[inline(always)]
fn sum(x: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    for part in x.chunks_exact(LANES) {
        for (lane, x) in lanes.iter_mut().zip(part) {
            *lane += x;
        }
    }
    lanes.iter().sum()
}

/// Softmax of a token's logits over the first `seen` tokens; the rest are set to 0.
#[inline(always)]
pub(crate) fn softmax(logits: &mut [f32], seen: usize) {
    let most = logits[..seen]
        .iter()
        .copied()
        .fold(f32::NEG_INFINITY, f32::max);
    for x in logits.iter_mut() {
        *x = exponential(*x - most);
    }
    logits[seen..].fill(0.0);
    let scale = 1.0 / sum(logits);
    for x in logits.iter_mut() {
        *x *= scale;
    }
}

for_each_level! {
    fn attend(room: &mut Room, tokens: usize, width: usize) {
        for token in 0..tokens {
            let rows = token * width..(token + 1) * width;
            combine(&mut room.weights, &room.q[rows.clone()], &room.k_columns);
            softmax(&mut room.weights, token + 1);
            let seen = &room.v[..(token + 1) * width];
            combine(&mut room.out[rows], &room.weights[..token + 1], seen);
        }
    }
}

for_each_level! {
    fn attend_back(room: &mut Room, tokens: usize, width: usize) {
        // scale that was applied to the queries
        let scale = 1.0 / (width as f32).sqrt();
        for token in 0..tokens {
            let rows = token * width..(token + 1) * width;
            let seen = token + 1;
            let (q, dout) = (&room.q[rows.clone()], &room.dout[rows.clone()]);
            combine(&mut room.weights, q, &room.k_columns);
            softmax(&mut room.weights, seen);
            combine(&mut room.dweights, dout, &room.v_columns);
            // softmax: dlogit = p (dp - sum of p dp)
            for (d, p) in room.dweights.iter_mut().zip(&room.weights) {
                *d *= p;
            }
            let mean = sum(&room.dweights);
            for (d, p) in room.dweights.iter_mut().zip(&room.weights) {
                *d -= p * mean;
            }
            combine(&mut room.dq[rows], &room.dweights[..seen], &room.k[..seen * width]);
            let each = room.dk.chunks_exact_mut(width).zip(room.dv.chunks_exact_mut(width));
            for (other, (dk, dv)) in each.take(seen).enumerate() {
                let (d, p) = (room.dweights[other], room.weights[other]);
                for j in 0..width {
                    dk[j] += d * q[j];
                    dv[j] += p * dout[j];
                }
            }
        }
        for dq in &mut room.dq {
            *dq *= scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: f32) -> Vec<f32> {
        (0..count)
            .map(|i| (i as f32 * 0.7 + seed).sin() * 1.5)
            .collect()
    }

    /// Reference attention in f64: `qkv` [tokens, 3 C] -> [tokens, C].
    fn plainly(of: &Attention, qkv: &[f64]) -> Vec<f64> {
        let (width, channels) = (of.head_width, of.channels());
        let mut out = vec![0.0; of.tokens * channels];
        for (point, qkv) in qkv.chunks(3 * of.tokens * channels).enumerate() {
            let at = |part: usize, token: usize, head: usize, j: usize| {
                qkv[token * 3 * channels + part * channels + head * width + j]
            };
            if point > 0 {
                out.extend(vec![0.0; of.tokens * channels]);
            }
            for head in 0..of.heads {
                for token in 0..of.tokens {
                    let logit = |other: usize| -> f64 {
                        let product = |j| at(0, token, head, j) * at(1, other, head, j);
                        (0..width).map(product).sum::<f64>() / (width as f64).sqrt()
                    };
                    let weights: Vec<f64> = (0..=token).map(|other| logit(other).exp()).collect();
                    let all: f64 = weights.iter().sum();
                    for j in 0..width {
                        let seen = weights.iter().enumerate();
                        let value: f64 = seen.map(|(o, w)| w * at(2, o, head, j)).sum();
                        out[(point * of.tokens + token) * channels + head * width + j] =
                            value / all;
                    }
                }
            }
        }
        out
    }

    /// Fails if heads, parts or tokens are mixed up, a later token is seen, or a factor is missing.
    #[test]
    fn attention_and_its_gradient_are_those_of_the_formula() {
        for (points, tokens, heads, head_width) in [(2, 5, 2, 3), (1, 1, 1, 4), (1, 18, 1, 6)] {
            let of = Attention {
                tokens,
                heads,
                head_width,
            };
            let count = points * tokens * heads * head_width;
            let (qkv, dout) = (numbers(3 * count, 0.3), numbers(count, 1.1));
            let wide: Vec<f64> = qkv.iter().map(|&x| f64::from(x)).collect();
            let exact = plainly(&of, &wide);
            for (found, exact) in of.forward(&qkv).iter().zip(&exact) {
                assert!((f64::from(*found) - exact).abs() < 2e-6, "{found} {exact}");
            }
            let gradient = of.gradient(&qkv, &dout);
            let every = if cfg!(miri) { 7 } else { 1 };
            for i in (0..3 * count).step_by(every) {
                let loss = |h: f64| -> f64 {
                    let mut moved = wide.clone();
                    moved[i] += h;
                    let out = plainly(&of, &moved);
                    out.iter().zip(&dout).map(|(o, d)| o * f64::from(*d)).sum()
                };
                let exact = (loss(1e-5) - loss(-1e-5)) / 2e-5;
                let found = f64::from(gradient[i]);
                assert!((found - exact).abs() < 1e-5, "{i}: {found} {exact}");
            }
        }
    }
}
