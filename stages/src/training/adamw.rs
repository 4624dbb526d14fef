//! One step of AdamW (Loshchilov and Hutter, arXiv 1711.05101) on one parameter, with the moving
//! average of its weights: one pass in place where operations are fused, Burn's operations elsewhere.

use crate::fused::{flex_mut, flex_ref, is_fused};
use burn::tensor::Tensor;
use latent_align_kernels::{AdamW, Parameter, adamw};

/// Added to the root of the second moment.
const EPSILON: f64 = 1e-8;

/// Optimiser state of a parameter of n elements, each `[n]`.
#[derive(Clone)]
pub(super) struct Kept {
    /// First moment.
    pub(super) first: Tensor<1>,
    /// Second moment.
    pub(super) second: Tensor<1>,
    /// Moving average of the weights.
    pub(super) average: Tensor<1>,
}

impl Kept {
    /// The initial state.
    pub(super) fn of(weights: Tensor<1>) -> Self {
        Self {
            first: weights.zeros_like(),
            second: weights.zeros_like(),
            average: weights,
        }
    }
}

/// Settings shared by all parameters of a step.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) rate: f64,
    pub(super) betas: [f64; 2],
    /// Starts at 1.
    pub(super) number: u64,
    pub(super) decay: f64,
    /// Decay of the average.
    pub(super) average: f64,
}

impl Step {
    /// `1 - beta^number`.
    fn corrections(&self) -> [f64; 2] {
        self.betas.map(|beta| 1.0 - beta.powf(self.number as f64))
    }
}

/// `weights` `[n]` after one step along `-factor * gradient`, and the new state.
pub(super) fn update(
    mut weights: Tensor<1>,
    gradient: Tensor<1>,
    factor: Tensor<1>,
    mut kept: Kept,
    step: Step,
) -> (Tensor<1>, Kept) {
    if !is_fused(&weights) {
        return plain(weights, gradient, factor, kept, step);
    }
    let corrections = step.corrections();
    let step = AdamW {
        rate: step.rate as f32,
        betas: step.betas.map(|beta| beta as f32),
        corrections: corrections.map(|c| c as f32),
        epsilon: EPSILON as f32,
        decay: step.decay as f32,
        factor: flex_ref(factor, |factor| factor[0]),
        average: step.average as f32,
    };
    flex_ref(gradient, |gradient| {
        flex_mut(
            [
                &mut weights,
                &mut kept.first,
                &mut kept.second,
                &mut kept.average,
            ],
            |[weights, first, second, average]| {
                let parameter = Parameter {
                    weights,
                    gradient,
                    first,
                    second,
                    average,
                };
                adamw(step, parameter);
            },
        );
    });
    (weights, kept)
}

fn plain(
    weights: Tensor<1>,
    gradient: Tensor<1>,
    factor: Tensor<1>,
    kept: Kept,
    step: Step,
) -> (Tensor<1>, Kept) {
    let [b1, b2] = step.betas;
    let [c1, c2] = step.corrections();
    let gradient = gradient * factor;
    let first = kept.first.mul_scalar(b1) + gradient.clone().mul_scalar(1.0 - b1);
    let second = kept.second.mul_scalar(b2) + gradient.square().mul_scalar(1.0 - b2);
    let root = second.clone().div_scalar(c2).sqrt() + EPSILON;
    let moved = first.clone().div_scalar(c1) / root;
    let weights = weights.mul_scalar(1.0 - step.rate * step.decay) - moved.mul_scalar(step.rate);
    // average + (1 - decay) (weights - average)
    let change = (weights.clone() - kept.average.clone()).mul_scalar(1.0 - step.average);
    let kept = Kept {
        first,
        second,
        average: kept.average + change,
    };
    (weights, kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;
    use crate::tensors::{from_f32, to_f32};
    use burn::tensor::Device;

    #[test]
    fn the_fused_step_is_that_of_plain_operations() {
        let device = Device::flex();
        let n = 70_001;
        let draw = |name| from_f32(Streams::new(7).normal(name, 0, n), [n], &device);
        let (mut a, mut b) = (draw("weights"), draw("weights"));
        let (mut kept_a, mut kept_b) = (Kept::of(a.clone()), Kept::of(b.clone()));
        for number in 1..4 {
            let step = Step {
                rate: 0.01,
                betas: [0.9, 0.95],
                number,
                decay: 0.1,
                average: 0.6,
            };
            let gradient = draw(["one", "two", "three"][number as usize - 1]);
            let factor = from_f32(vec![0.3], [1], &device);
            (a, kept_a) = update(a, gradient.clone(), factor.clone(), kept_a, step);
            (b, kept_b) = plain(b, gradient, factor, kept_b, step);
        }
        let pairs = [
            (a, b),
            (kept_a.average, kept_b.average),
            (kept_a.second, kept_b.second),
        ];
        for (a, b) in pairs {
            for (a, b) in to_f32(a).unwrap().iter().zip(to_f32(b).unwrap()) {
                assert!((a - b).abs() < 2e-6 * b.abs().max(1.0), "{a} {b}");
            }
        }
    }
}
