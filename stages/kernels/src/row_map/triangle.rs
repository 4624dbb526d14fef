//! `z + L z` and `z + (L * L) z` with a strictly lower triangle L, row by row.

use super::lanes::{add_scaled, dot};
use super::rows::Rows;
use crate::level::for_each_level;

/// The rows of a triangle that are not empty: the row's number i and the place of its i entries.
#[inline(always)]
fn lines(size: usize) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
    (1..size).map(|i| (i, i * (i - 1) / 2..i * (i + 1) / 2))
}

for_each_level! {
    pub(super) fn forward(rows: Rows<'_>, out: &mut [f32]) {
        for ((z, l), out) in rows.each().zip(out.chunks_exact_mut(rows.size)) {
            out.copy_from_slice(z);
            for (i, line) in lines(rows.size) {
                out[i] += dot(&l[line], &z[..i]);
            }
        }
    }
}

for_each_level! {
    pub(super) fn backward(rows: Rows<'_>, dout: &[f32], dz: &mut [f32], dgiven: &mut [f32]) {
        dz.copy_from_slice(dout);
        let gradients = dout.chunks_exact(rows.size).zip(dz.chunks_exact_mut(rows.size));
        let gradients = gradients.zip(dgiven.chunks_exact_mut(rows.count));
        for ((z, l), ((dout, dz), dl)) in rows.each().zip(gradients) {
            for (i, line) in lines(rows.size) {
                add_scaled(&mut dz[..i], dout[i], &l[line.clone()]);
                add_scaled(&mut dl[line], dout[i], &z[..i]);
            }
        }
    }
}

for_each_level! {
    pub(super) fn forward_squared(rows: Rows<'_>, out: &mut [f32]) {
        let mut squares = vec![0.0; rows.size];
        for ((z, l), out) in rows.each().zip(out.chunks_exact_mut(rows.size)) {
            out.copy_from_slice(z);
            for (i, line) in lines(rows.size) {
                for (square, l) in squares.iter_mut().zip(&l[line]) {
                    *square = l * l;
                }
                out[i] += dot(&squares[..i], &z[..i]);
            }
        }
    }
}

for_each_level! {
    pub(super) fn backward_squared(rows: Rows<'_>, dout: &[f32], dz: &mut [f32], dgiven: &mut [f32]) {
        dz.copy_from_slice(dout);
        let gradients = dout.chunks_exact(rows.size).zip(dz.chunks_exact_mut(rows.size));
        let gradients = gradients.zip(dgiven.chunks_exact_mut(rows.count));
        for ((z, l), ((dout, dz), dl)) in rows.each().zip(gradients) {
            for (i, line) in lines(rows.size) {
                let (l, dl) = (&l[line.clone()], &mut dl[line]);
                for j in 0..i {
                    dz[j] += dout[i] * l[j] * l[j];
                    dl[j] = 2.0 * dout[i] * l[j] * z[j];
                }
            }
        }
    }
}
