//! Gates `v s(g)` with the logistic function s, Bernoulli losses `softplus(l) - x l` of logits l and data x, and
//! their derivatives.

use crate::activation::{exponential, logistic, softplus};
use crate::elementwise::{each_three, each_two};
use crate::level::for_each_level;
use std::mem::MaybeUninit;

for_each_level! {
    fn gated_chunk(value: &[f32], gate: &[f32], out: &mut [MaybeUninit<f32>]) {
        for ((out, &v), &g) in out.iter_mut().zip(value).zip(gate) {
            out.write(v * logistic(g));
        }
    }
}

for_each_level! {
    fn gated_by_gate_chunk(value: &[f32], gate: &[f32], gradient: &[f32], out: &mut [MaybeUninit<f32>]) {
        for (((out, &v), &g), &d) in out.iter_mut().zip(value).zip(gate).zip(gradient) {
            let e = exponential(-g);
            let s = 1.0 / (1.0 + e);
            // 1 - s = e s, without cancellation
            out.write(d * v * s * (e * s));
        }
    }
}

for_each_level! {
    fn bernoulli_chunk(logit: &[f32], data: &[f32], out: &mut [MaybeUninit<f32>]) {
        for ((out, &l), &x) in out.iter_mut().zip(logit).zip(data) {
            out.write(softplus(l) - x * l);
        }
    }
}

for_each_level! {
    fn bernoulli_by_logit_chunk(logit: &[f32], data: &[f32], gradient: &[f32], out: &mut [MaybeUninit<f32>]) {
        for (((out, &l), &x), &d) in out.iter_mut().zip(logit).zip(data).zip(gradient) {
            out.write(d * (logistic(l) - x));
        }
    }
}

for_each_level! {
    fn minus_product_chunk(a: &[f32], b: &[f32], out: &mut [MaybeUninit<f32>]) {
        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
            out.write(-a * b);
        }
    }
}

/// `value s(gate)`, elementwise.
pub fn gated(value: &[f32], gate: &[f32]) -> Vec<f32> {
    each_two(value, gate, gated_chunk)
}

/// `gradient` times the derivative of [`gated`] with respect to the value.
pub fn gated_by_value(_value: &[f32], gate: &[f32], gradient: &[f32]) -> Vec<f32> {
    each_two(gradient, gate, gated_chunk)
}

/// `gradient` times the derivative of [`gated`] with respect to the gate.
pub fn gated_by_gate(value: &[f32], gate: &[f32], gradient: &[f32]) -> Vec<f32> {
    each_three([value, gate, gradient], gated_by_gate_chunk)
}

/// `softplus(logit) - data logit`, elementwise: the negative log-probability of binary data, in nats.
pub fn bernoulli(logit: &[f32], data: &[f32]) -> Vec<f32> {
    each_two(logit, data, bernoulli_chunk)
}

/// `gradient` times the derivative of [`bernoulli`] with respect to the logit.
pub fn bernoulli_by_logit(logit: &[f32], data: &[f32], gradient: &[f32]) -> Vec<f32> {
    each_three([logit, data, gradient], bernoulli_by_logit_chunk)
}

/// `gradient` times the derivative of [`bernoulli`] with respect to the data.
pub fn bernoulli_by_data(logit: &[f32], _data: &[f32], gradient: &[f32]) -> Vec<f32> {
    each_two(logit, gradient, minus_product_chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if the logarithm's series is truncated too early, or large logits overflow.
    #[test]
    fn bernoulli_losses_are_those_of_double_precision() {
        let every = if cfg!(miri) { 200 } else { 1 };
        let logits: Vec<f32> = (-12_000..12_000)
            .step_by(every)
            .map(|i| i as f32 * 0.01)
            .collect();
        for data in [0.0f32, 0.3, 1.0] {
            let all = vec![data; logits.len()];
            let found = bernoulli(&logits, &all);
            for (&logit, found) in logits.iter().zip(found) {
                let (l, x) = (f64::from(logit), f64::from(data));
                let exact = l.max(0.0) + (-l.abs()).exp().ln_1p() - x * l;
                let off = (f64::from(found) - exact).abs();
                assert!(off < 3e-7 * (1.0 + l.abs()), "{l}, {x}: {found} {exact}");
            }
        }
    }
}
