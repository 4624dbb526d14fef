//! Convex combinations.

use super::lanes::{add_scaled, dot};
use super::rows::Rows;
use crate::activation::exponential;
use crate::level::for_each_level;

/// Writes softmax(`logits`) to `weights`.
#[inline(always)]
fn softmax(logits: &[f32], weights: &mut [f32]) {
    let most = logits.iter().fold(f32::MIN, |most, x| most.max(*x));
    let mut sum = 0.0;
    for (weight, x) in weights.iter_mut().zip(logits) {
        *weight = exponential(x - most);
        sum += *weight;
    }
    for weight in weights {
        *weight /= sum;
    }
}

for_each_level! {
    pub(super) fn forward(rows: Rows<'_>, out: &mut [f32]) {
        let mut weights = vec![0.0; rows.size];
        let width = rows.count / rows.size;
        for ((logits, given), out) in rows.each().zip(out.chunks_exact_mut(width)) {
            softmax(logits, &mut weights);
            for (weight, given) in weights.iter().zip(given.chunks_exact(width)) {
                add_scaled(out, *weight, given);
            }
        }
    }
}

for_each_level! {
    pub(super) fn backward(rows: Rows<'_>, dout: &[f32], dz: &mut [f32], dgiven: &mut [f32]) {
        let mut weights = vec![0.0; rows.size];
        let width = rows.count / rows.size;
        let gradients = dout.chunks_exact(width).zip(dz.chunks_exact_mut(rows.size));
        let gradients = gradients.zip(dgiven.chunks_exact_mut(rows.count));
        for ((logits, given), ((dout, dlogits), dgiven)) in rows.each().zip(gradients) {
            softmax(logits, &mut weights);
            let parts = given.chunks_exact(width).zip(dgiven.chunks_exact_mut(width));
            for ((weight, dlogit), (given, dgiven)) in weights.iter().zip(&mut *dlogits).zip(parts) {
                add_scaled(dgiven, *weight, dout);
                *dlogit = dot(given, dout);
            }
            let mean = dot(&weights, dlogits);
            for (dlogit, weight) in dlogits.iter_mut().zip(&weights) {
                *dlogit = weight * (*dlogit - mean);
            }
        }
    }
}
