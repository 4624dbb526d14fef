//! `g z + (1 - g) m`, with `g = sigmoid(s + 2)`.

use super::rows::Rows;
use crate::activation::{exponential, softplus};
use crate::level::for_each_level;

/// Added to s.
const KEPT: f32 = 2.0;

/// g and 1 - g, without cancellation.
#[inline(always)]
fn shares(s: f32) -> (f32, f32) {
    let e = exponential(-(s + KEPT));
    let kept = 1.0 / (1.0 + e);
    (kept, e * kept)
}

#[inline(always)]
fn forward_rows(rows: Rows<'_>, out: &mut [f32], place: impl Fn(usize) -> usize) {
    let size = rows.size;
    for ((z, given), out) in rows.each().zip(out.chunks_exact_mut(size + 1)) {
        let (s, m) = given.split_at(size);
        let mut log = 0.0;
        for i in 0..size {
            let (s, m) = (s[place(i)], m[place(i)]);
            let (kept, new) = shares(s);
            out[i] = kept * z[i] + new * m;
            log -= softplus(-(s + KEPT));
        }
        out[size] = log;
    }
}

#[inline(always)]
fn backward_rows(
    rows: Rows<'_>,
    dout: &[f32],
    dz: &mut [f32],
    dgiven: &mut [f32],
    place: impl Fn(usize) -> usize,
) {
    let size = rows.size;
    let gradients = dout.chunks_exact(size + 1).zip(dz.chunks_exact_mut(size));
    let gradients = gradients.zip(dgiven.chunks_exact_mut(2 * size));
    for ((z, given), ((dout, dz), dgiven)) in rows.each().zip(gradients) {
        let ((s, m), (ds, dm)) = (given.split_at(size), dgiven.split_at_mut(size));
        let dlog = dout[size];
        for i in 0..size {
            let at = place(i);
            let (kept, new) = shares(s[at]);
            dz[i] = dout[i] * kept;
            dm[at] = dout[i] * new;
            ds[at] = new * (dout[i] * (z[i] - m[at]) * kept + dlog);
        }
    }
}

for_each_level! {
    pub(super) fn forward(rows: Rows<'_>, out: &mut [f32]) {
        forward_rows(rows, out, |i| i);
    }
}

for_each_level! {
    pub(super) fn forward_reversed(rows: Rows<'_>, out: &mut [f32]) {
        forward_rows(rows, out, |i| rows.size - 1 - i);
    }
}

for_each_level! {
    pub(super) fn backward(rows: Rows<'_>, dout: &[f32], dz: &mut [f32], dgiven: &mut [f32]) {
        backward_rows(rows, dout, dz, dgiven, |i| i);
    }
}

for_each_level! {
    pub(super) fn backward_reversed(rows: Rows<'_>, dout: &[f32], dz: &mut [f32], dgiven: &mut [f32]) {
        backward_rows(rows, dout, dz, dgiven, |i| rows.size - 1 - i);
    }
}
