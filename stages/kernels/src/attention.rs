//! Multi-head causal self-attention, forward and backward. For each point and head:
//!
//! ```text
//! P = softmax(Q K^T / (sqrt(head width) temperature), each token seeing itself and earlier ones)            O = P V
//! ```
//!
//! P is never stored as a whole; the backward pass recomputes it.

use crate::activation::exponential;
use crate::fresh::Fresh;
use crate::matmul::{Kernel, OnKernel, Onto, Strided, on_kernel};
use crate::parallel::*;
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Shape of an attention layer.
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    /// Tokens per point.
    pub tokens: usize,
    pub heads: usize,
    /// Width of queries, keys and values per token and head.
    pub head_width: usize,
    /// Divisor of the logits besides the square root of the width.
    pub temperature: f32,
}

/// Maximum number of f32 in a vector register.
pub(crate) const LANES: usize = 16;

/// Queries whose weights the backward pass keeps at once; a multiple of each kernel's rows.
const AT_ONCE: usize = 96;

impl Attention {
    fn channels(&self) -> usize {
        self.heads * self.head_width
    }

    /// Factor on products of queries and keys.
    fn scale(&self) -> f32 {
        1.0 / ((self.head_width as f32).sqrt() * self.temperature)
    }

    /// Output [n tokens, C] for queries, keys and values `qkv` [n tokens, 3 C], each ordered by head, then head
    /// width.
    pub fn forward(&self, qkv: &[f32]) -> Vec<f32> {
        let mut out = Fresh::new(qkv.len() / 3);
        self.fill(qkv, out.room());
        // SAFETY: filled just now.
        unsafe { out.written() }
    }

    /// Writes the output to every element of `out`.
    pub(crate) fn fill(&self, qkv: &[f32], out: &mut [MaybeUninit<f32>]) {
        let of_point = self.tokens * self.channels();
        assert_eq!(qkv.len() % (3 * of_point), 0, "parts of points");
        assert_eq!(qkv.len(), 3 * out.len(), "an output of another length");
        let points = qkv.par_chunks(3 * of_point);
        (out.par_chunks_mut(of_point), points).for_each(|(out, qkv)| {
            ROOM.with_borrow_mut(|room| {
                on_kernel(Forward {
                    of: self,
                    qkv,
                    out,
                    room,
                });
            });
        });
    }

    /// Gradient [n tokens, 3 C] with respect to `qkv`, given the `gradient` [n tokens, C] of the output.
    pub fn gradient(&self, qkv: &[f32], gradient: &[f32]) -> Vec<f32> {
        let of_point = self.tokens * self.channels();
        assert_eq!(
            qkv.len(),
            3 * gradient.len(),
            "a gradient of another length"
        );
        let mut out = Fresh::new(qkv.len());
        (
            out.room().par_chunks_mut(3 * of_point),
            qkv.par_chunks(3 * of_point),
            gradient.par_chunks(of_point),
        )
            .for_each(|(out, qkv, gradient)| {
                ROOM.with_borrow_mut(|room| {
                    on_kernel(Backward {
                        of: self,
                        qkv,
                        gradient,
                        out,
                        room,
                    });
                });
            });
        // SAFETY: each head of each point writes its columns of all three parts.
        unsafe { out.written() }
    }
}

thread_local! {
    static ROOM: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Splits a buffer into parts of given lengths.
fn parts<const N: usize>(buffer: &mut Vec<f32>, lengths: [usize; N]) -> [&mut [f32]; N] {
    let all: usize = lengths.iter().sum();
    buffer.resize(buffer.len().max(all), 0.0);
    let mut rest = buffer.as_mut_slice();
    lengths.map(|length| {
        let (part, after) = std::mem::take(&mut rest).split_at_mut(length);
        rest = after;
        part
    })
}

/// Strides of one head's operands for a kernel.
#[derive(Clone, Copy)]
struct Layout {
    tokens: usize,
    /// Of a head.
    width: usize,
    /// The width, rounded up to whole panels.
    row: usize,
    /// The number of tokens, rounded up to whole panels, and a multiple of [`LANES`].
    padded: usize,
}

impl Layout {
    fn new<K: Kernel>(of: &Attention) -> Self {
        Self {
            tokens: of.tokens,
            width: of.head_width,
            row: of.head_width.next_multiple_of(K::COLUMNS),
            padded: of.tokens.next_multiple_of(K::COLUMNS.max(LANES)),
        }
    }

    /// Copies `scale` times a head's columns, at column `at` of rows of `stride`, to `rows` [padded, row], padded with
    /// zeros.
    #[inline(always)]
    fn load(self, from: &[f32], at: usize, stride: usize, scale: f32, rows: &mut [f32]) {
        for (from, to) in from
            .chunks_exact(stride)
            .zip(rows.chunks_exact_mut(self.row))
        {
            let (to, rest) = to.split_at_mut(self.width);
            for (to, from) in to.iter_mut().zip(&from[at..]) {
                *to = scale * from;
            }
            rest.fill(0.0);
        }
        rows[self.tokens * self.row..].fill(0.0);
    }

    /// Writes the transpose of `rows` [padded, row] to `columns`, panels [padded / columns, width, columns].
    #[inline(always)]
    unsafe fn turn<K: Kernel>(self, rows: &[f32], columns: &mut [f32]) {
        let panels = columns.chunks_exact_mut(self.width * K::COLUMNS);
        for (panel, rows) in panels.zip(rows.chunks_exact(K::COLUMNS * self.row)) {
            // SAFETY: there are as many rows as a panel has columns, each at least as wide as the panel is deep; the
            // caller has the instructions.
            unsafe { K::pack_transposed(rows.as_ptr(), self.row, self.width, panel.as_mut_ptr()) };
        }
    }

    /// `out[i] = rows[i] . columns` for the `rows` of a block, with as many columns as are seen: `rows` [count, row],
    /// `columns` from [`Self::turn`], `out` [count, padded].
    #[inline(always)]
    unsafe fn logits<K: Kernel>(self, rows: &[f32], columns: &[f32], seen: usize, out: &mut [f32]) {
        let count = out.len() / self.padded;
        assert!(rows.len() >= count * self.row && count <= K::ROWS && seen <= self.padded);
        for first in (0..seen).step_by(K::COLUMNS) {
            let panel = &columns[first * self.width..][..self.width * K::COLUMNS];
            // SAFETY: `count` rows of `width` numbers, a whole panel, and `count` rows of its columns.
            unsafe {
                let a = strided(rows, [self.row, 1]);
                let out = out[first..].as_mut_ptr();
                K::product(
                    count,
                    self.width,
                    a,
                    panel.as_ptr(),
                    K::COLUMNS,
                    out,
                    self.padded,
                    Onto::Replace,
                );
            }
        }
    }

    /// `out (+)= weights rows`: entry (i, p) of `count` x `depth` weights at `i strides[0] + p strides[1]`, `rows`
    /// [depth, row], `out` [count, row].
    #[inline(always)]
    unsafe fn combine<K: Kernel>(
        self,
        [count, depth]: [usize; 2],
        (weights, strides): (&[f32], [usize; 2]),
        rows: &[f32],
        out: &mut [f32],
        onto: Onto,
    ) {
        assert!(
            count <= K::ROWS && out.len() >= count * self.row && rows.len() >= depth * self.row
        );
        assert!(weights.len() > (count - 1) * strides[0] + (depth - 1) * strides[1]);
        let weights = strided(weights, strides);
        for first in (0..self.row).step_by(K::COLUMNS) {
            let (b, out) = (rows[first..].as_ptr(), out[first..].as_mut_ptr());
            // SAFETY: whole panels of rows of `row` numbers; the caller has the instructions.
            unsafe { K::product(count, depth, weights, b, self.row, out, self.row, onto) };
        }
    }

    /// Writes `scale` times the rows to a head's columns, at column `at` of rows of `stride`.
    #[inline(always)]
    fn store(
        self,
        rows: &[f32],
        scale: f32,
        out: &mut [MaybeUninit<f32>],
        at: usize,
        stride: usize,
    ) {
        for (row, out) in
            (rows.chunks_exact(self.row).take(self.tokens)).zip(out.chunks_mut(stride))
        {
            for (out, x) in out[at..at + self.width].iter_mut().zip(row) {
                out.write(scale * x);
            }
        }
    }
}

/// The matrix in `values`, from the first on.
fn strided(values: &[f32], [row_stride, column_stride]: [usize; 2]) -> Strided<f32> {
    Strided {
        start: values.as_ptr(),
        row_stride,
        column_stride,
    }
}

/// One point: `qkv` [tokens, 3 C], `out` [tokens, C].
struct Forward<'a> {
    of: &'a Attention,
    qkv: &'a [f32],
    out: &'a mut [MaybeUninit<f32>],
    room: &'a mut Vec<f32>,
}

impl OnKernel for Forward<'_> {
    #[inline(always)]
    unsafe fn run<K: Kernel>(self) {
        let Self { of, qkv, out, room } = self;
        let (at, channels) = (Layout::new::<K>(of), of.channels());
        let rows = at.padded * at.row;
        let turned = at.padded * at.width;
        let lengths = [rows, rows, rows, turned, K::ROWS * at.padded, rows];
        let [q, k, v, keys, weights, outs] = parts(room, lengths);
        for head in (0..channels).step_by(at.width) {
            at.load(qkv, head, 3 * channels, of.scale(), q);
            at.load(qkv, channels + head, 3 * channels, 1.0, k);
            at.load(qkv, 2 * channels + head, 3 * channels, 1.0, v);
            // SAFETY: the caller has the instructions, and the buffers their lengths.
            unsafe {
                at.turn::<K>(k, keys);
                for first in (0..at.tokens).step_by(K::ROWS) {
                    let count = K::ROWS.min(at.tokens - first);
                    let seen = first + count;
                    let weights = &mut weights[..count * at.padded];
                    at.logits::<K>(&q[first * at.row..], keys, seen, weights);
                    for (i, weights) in weights.chunks_exact_mut(at.padded).enumerate() {
                        softmax(&mut weights[..seen.next_multiple_of(LANES)], first + i + 1);
                    }
                    let weights = (&*weights, [at.padded, 1]);
                    let out = &mut outs[first * at.row..];
                    at.combine::<K>([count, seen], weights, v, out, Onto::Replace);
                }
            }
            at.store(outs, 1.0, out, head, channels);
        }
    }
}

/// One point: `qkv` and `out` [tokens, 3 C], `gradient` [tokens, C].
struct Backward<'a> {
    of: &'a Attention,
    qkv: &'a [f32],
    gradient: &'a [f32],
    out: &'a mut [MaybeUninit<f32>],
    room: &'a mut Vec<f32>,
}

impl OnKernel for Backward<'_> {
    #[inline(always)]
    unsafe fn run<K: Kernel>(self) {
        let Self {
            of,
            qkv,
            gradient,
            out,
            room,
        } = self;
        let (at, channels) = (Layout::new::<K>(of), of.channels());
        let (rows, turned) = (at.padded * at.row, at.padded * at.width);
        let block = AT_ONCE.min(at.tokens) * at.padded;
        let lengths = [
            rows, rows, rows, rows, turned, turned, block, block, rows, rows, rows,
        ];
        let [q, k, v, dout, keys, values, p, d, dq, dk, dv] = parts(room, lengths);
        for head in (0..channels).step_by(at.width) {
            at.load(qkv, head, 3 * channels, of.scale(), q);
            at.load(qkv, channels + head, 3 * channels, 1.0, k);
            at.load(qkv, 2 * channels + head, 3 * channels, 1.0, v);
            at.load(gradient, head, channels, 1.0, dout);
            // SAFETY: the caller has the instructions, and the buffers their lengths.
            unsafe {
                at.turn::<K>(k, keys);
                at.turn::<K>(v, values);
                for start in (0..at.tokens).step_by(AT_ONCE) {
                    let queries = start..at.tokens.min(start + AT_ONCE);
                    let turned = (&*keys, &*values);
                    of_queries::<K>(at, queries.clone(), (q, k, dout), turned, (p, d), dq);
                    of_keys::<K>(at, queries, (q, dout), (p, d), (dk, dv));
                }
            }
            at.store(dq, of.scale(), out, head, 3 * channels);
            at.store(dk, 1.0, out, channels + head, 3 * channels);
            at.store(dv, 1.0, out, 2 * channels + head, 3 * channels);
        }
    }
}

/// Backward pass of some `queries` of a head: their weights p, the gradients d of their logits, both [queries, padded],
/// and the gradients dq.
#[inline(always)]
unsafe fn of_queries<K: Kernel>(
    at: Layout,
    queries: Range<usize>,
    (q, k, dout): (&[f32], &[f32], &[f32]),
    (keys, values): (&[f32], &[f32]),
    (p, d): (&mut [f32], &mut [f32]),
    dq: &mut [f32],
) {
    for first in queries.clone().step_by(K::ROWS) {
        let count = K::ROWS.min(queries.end - first);
        let seen = first + count;
        let block = (first - queries.start) * at.padded..(seen - queries.start) * at.padded;
        let (p, d) = (&mut p[block.clone()], &mut d[block]);
        // SAFETY: required of the caller.
        unsafe {
            at.logits::<K>(&q[first * at.row..], keys, seen, p);
            at.logits::<K>(&dout[first * at.row..], values, seen, d);
        }
        let rows = p
            .chunks_exact_mut(at.padded)
            .zip(d.chunks_exact_mut(at.padded));
        for (i, (p, d)) in rows.enumerate() {
            let whole = seen.next_multiple_of(LANES);
            softmax_back(&mut p[..whole], &mut d[..whole], first + i + 1);
        }
        let dq = &mut dq[first * at.row..];
        // SAFETY: required of the caller.
        unsafe { at.combine::<K>([count, seen], (d, [at.padded, 1]), k, dq, Onto::Replace) };
    }
}

/// Adds what some `queries` contribute to the gradients of keys and values, given the results of [`of_queries`].
#[inline(always)]
unsafe fn of_keys<K: Kernel>(
    at: Layout,
    queries: Range<usize>,
    (q, dout): (&[f32], &[f32]),
    (p, d): (&[f32], &[f32]),
    (dk, dv): (&mut [f32], &mut [f32]),
) {
    for first in (0..queries.end).step_by(K::ROWS) {
        let count = K::ROWS.min(queries.end - first);
        // those before do not see these keys
        let from = first.max(queries.start);
        let depth = queries.end - from;
        let onto = match first < queries.start {
            true => Onto::Add,
            false => Onto::Replace,
        };
        let start = (from - queries.start) * at.padded + first;
        let (row, turned) = (from * at.row, [1, at.padded]);
        for (weights, rows, out) in [(d, q, &mut *dk), (p, dout, &mut *dv)] {
            let weights = (&weights[start..], turned);
            let out = &mut out[first * at.row..];
            // SAFETY: required of the caller.
            unsafe { at.combine::<K>([count, depth], weights, &rows[row..], out, onto) };
        }
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
    logits[seen..].fill(f32::NEG_INFINITY);
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for part in logits.chunks_exact(LANES) {
        for (lane, x) in lanes.iter_mut().zip(part) {
            *lane = lane.max(*x);
        }
    }
    let most = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
    for x in logits.iter_mut() {
        *x = exponential(*x - most);
    }
    logits[seen..].fill(0.0);
    let scale = 1.0 / sum(logits);
    for x in logits.iter_mut() {
        *x *= scale;
    }
}

/// [`softmax`] of `logits`, and its gradient: `d = p (d - sum of p d)`.
#[inline(always)]
fn softmax_back(logits: &mut [f32], d: &mut [f32], seen: usize) {
    softmax(logits, seen);
    d[seen..].fill(0.0);
    for (d, p) in d.iter_mut().zip(&*logits) {
        *d *= p;
    }
    let mean = sum(d);
    for (d, p) in d.iter_mut().zip(&*logits) {
        *d -= p * mean;
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
                temperature: 1.0,
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
