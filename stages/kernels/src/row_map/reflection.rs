//! Reflections.

use super::lanes::{add_scaled, dot};
use super::rows::Rows;
use crate::level::for_each_level;

/// Added to `|v|^2`, so that a zero vector does not reflect.
const LEAST_SQUARE: f32 = 1e-12;

/// `|v|^2` and `2 (v . z) / |v|^2`.
#[inline(always)]
fn factors(v: &[f32], z: &[f32]) -> (f32, f32) {
    let square = dot(v, v) + LEAST_SQUARE;
    (square, 2.0 * dot(v, z) / square)
}

for_each_level! {
    pub(super) fn forward(rows: Rows<'_>, out: &mut [f32]) {
        out.copy_from_slice(rows.z);
        for ((_, given), z) in rows.each().zip(out.chunks_exact_mut(rows.size)) {
            for v in given.chunks_exact(rows.size) {
                let (_, factor) = factors(v, z);
                add_scaled(z, -factor, v);
            }
        }
    }
}

for_each_level! {
    pub(super) fn backward(rows: Rows<'_>, dout: &[f32], dz: &mut [f32], dgiven: &mut [f32]) {
        let size = rows.size;
        // z before each reflection
        let mut before = vec![0.0; rows.count + size];
        dz.copy_from_slice(dout);
        let gradients = dz.chunks_exact_mut(size).zip(dgiven.chunks_exact_mut(rows.count));
        for ((z, given), (dz, dgiven)) in rows.each().zip(gradients) {
            before[..size].copy_from_slice(z);
            for (number, v) in given.chunks_exact(size).enumerate() {
                let (z, after) = before[number * size..].split_at_mut(size);
                after[..size].copy_from_slice(z);
                add_scaled(&mut after[..size], -factors(v, z).1, v);
            }
            let steps = given.chunks_exact(size).zip(dgiven.chunks_exact_mut(size));
            for (number, (v, dv)) in steps.enumerate().rev() {
                let z = &before[number * size..][..size];
                let (square, factor) = factors(v, z);
                let along = -2.0 * dot(dz, v) / square; // the gradient of v . z
                for i in 0..size {
                    dv[i] = along * (z[i] - factor * v[i]) - factor * dz[i];
                }
                add_scaled(dz, along, v);
            }
        }
    }
}
