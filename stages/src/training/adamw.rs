//! One step of AdamW (Loshchilov and Hutter, arXiv 1711.05101) with the moving average of the weights, on all
//! parameters: one pass in place where operations are fused, elsewhere Burn's operations on one flat vector.

use super::flat::Layout;
use crate::fused::{flex_mut, flex_ref, flex_refs, is_fused};
use burn::module::Module;
use burn::tensor::Tensor;
use latent_align_kernels::{AdamW, Parameter, adamw, sums_of_squares};

/// Added to the root of the second moment.
const EPSILON: f64 = 1e-8;

/// Optimiser state of all parameters, each a flat vector.
#[derive(Clone)]
pub(super) struct State {
    /// First moment.
    pub(super) first: Tensor<1>,
    /// Second moment.
    pub(super) second: Tensor<1>,
    /// Moving average of the weights.
    pub(super) average: Tensor<1>,
}

impl State {
    /// The initial state of parameters with the flat vector `weights`.
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
    /// The largest global norm of a gradient.
    pub(super) clip: f64,
}

impl Step {
    /// `1 - beta^number`.
    fn corrections(&self) -> [f64; 2] {
        self.betas.map(|beta| 1.0 - beta.powf(self.number as f64))
    }
}

/// The gradient of a step.
#[allow(clippy::large_enum_variant)] // there is one at a time
pub(super) enum Gradient {
    /// Of each parameter that has one, flat, in the module's order.
    Each(Vec<Option<Tensor<1>>>),
    /// One flat vector, of the parameters that are `chosen`.
    Joined {
        vector: Tensor<1>,
        chosen: Vec<bool>,
    },
}

/// `module` after one step along `gradient`, clipped to the global norm of `step`; and the norm `[1]` before clipping.
/// A parameter without a gradient, and its state, stay as they are. Returns no norm if there is no gradient.
pub(super) fn update<M: Module>(
    module: M,
    layout: &Layout,
    gradient: Gradient,
    state: &mut State,
    step: Step,
) -> (M, Option<Tensor<1>>) {
    let chosen = match &gradient {
        Gradient::Each(each) => each.iter().map(Option::is_some).collect(),
        Gradient::Joined { chosen, .. } => chosen.clone(),
    };
    if !chosen.contains(&true) {
        return (module, None);
    }
    let (module, norm) = match gradient {
        Gradient::Each(each) if each.iter().flatten().all(is_fused) => {
            in_place(module, layout, each, state, step)
        }
        Gradient::Joined { vector, .. } if is_fused(&vector) => in_place(
            module,
            layout,
            layout.chosen_parts(vector, &chosen),
            state,
            step,
        ),
        Gradient::Each(each) => on_vectors(module, layout, layout.join(each), &chosen, state, step),
        Gradient::Joined { vector, .. } => on_vectors(module, layout, vector, &chosen, state, step),
    };
    (module, Some(norm))
}

/// The factor that limits gradients of `norm` to `largest`, `min(1, largest / norm)` `[1]`.
fn clipping(norm: Tensor<1>, largest: f64) -> Tensor<1> {
    (norm + 1e-12).recip().mul_scalar(largest).clamp_max(1.0)
}

/// [`update`] in one pass over weights, gradients and state on the CPU.
fn in_place<M: Module>(
    module: M,
    layout: &Layout,
    gradients: Vec<Option<Tensor<1>>>,
    state: &mut State,
    step: Step,
) -> (M, Tensor<1>) {
    let (module, mut weights) = layout.take(module, gradients.iter().map(Option::is_some));
    let norm = norm(&gradients);
    let corrections = step.corrections();
    let step = AdamW {
        rate: step.rate as f32,
        betas: step.betas.map(|beta| beta as f32),
        corrections: corrections.map(|c| c as f32),
        epsilon: EPSILON as f32,
        decay: step.decay as f32,
        factor: flex_ref(clipping(norm.clone(), step.clip), |factor| factor[0]),
        average: step.average as f32,
    };
    let mut all: Vec<&mut Tensor<1>> = weights.iter_mut().flatten().collect();
    all.extend([&mut state.first, &mut state.second, &mut state.average]);
    let chosen: Vec<bool> = gradients.iter().map(Option::is_some).collect();
    flex_refs(gradients.into_iter().flatten(), |gradients| {
        flex_mut(all, |mut all| {
            let of_state = all.split_off(gradients.len()).into_iter();
            let mut of_state = of_state.map(|vector| layout.chosen(vector, &chosen).into_iter());
            let mut next = || of_state.next().expect("two moments and the average");
            let (first, second, average) = (next(), next(), next());
            let parameters = (all.into_iter().zip(gradients))
                .zip(first.zip(second).zip(average))
                .map(
                    |((weights, gradient), ((first, second), average))| Parameter {
                        weights,
                        gradient,
                        first,
                        second,
                        average,
                    },
                );
            adamw(step, parameters.collect());
        });
    });
    (layout.put(module, weights), norm)
}

/// The L2 norm of all gradients together `[1]`, on the CPU.
fn norm(gradients: &[Option<Tensor<1>>]) -> Tensor<1> {
    let all = gradients.iter().flatten();
    let device = all.clone().next().expect("a gradient").device();
    let squares = flex_refs(all.cloned(), sums_of_squares);
    let square: f32 = squares.into_iter().map(|square| square as f32).sum();
    Tensor::from_data([square.sqrt()], &device)
}

/// [`update`] with Burn's operations, along a flat vector of the parameters that are `chosen`.
fn on_vectors<M: Module>(
    module: M,
    layout: &Layout,
    gradient: Tensor<1>,
    chosen: &[bool],
    state: &mut State,
    step: Step,
) -> (M, Tensor<1>) {
    let norm = gradient.clone().square().sum().sqrt();
    let factor = clipping(norm.clone(), step.clip);
    let weights = layout.weights(&module);
    let nothing = || Tensor::empty([0], &layout.device);
    let kept = State {
        first: nothing(),
        second: nothing(),
        average: nothing(),
    };
    let old = std::mem::replace(state, kept);
    // kept for parameters without a gradient alone, so that otherwise the vectors are updated in place
    let kept = chosen.contains(&false).then(|| old.clone());
    let (weights, new) = plain(weights, gradient, factor, old, step);
    *state = match kept {
        None => new,
        Some(kept) => State {
            first: layout.merge(new.first, kept.first, chosen),
            second: layout.merge(new.second, kept.second, chosen),
            average: layout.merge(new.average, kept.average, chosen),
        },
    };
    (
        layout.put(module, layout.chosen_parts(weights, chosen)),
        norm,
    )
}

/// AdamW on vectors `[n]`: the weights after one step along `-factor * gradient`, and the new state.
fn plain(
    weights: Tensor<1>,
    gradient: Tensor<1>,
    factor: Tensor<1>,
    state: State,
    step: Step,
) -> (Tensor<1>, State) {
    let [b1, b2] = step.betas;
    let [c1, c2] = step.corrections();
    let gradient = gradient * factor;
    let first = state.first.mul_scalar(b1) + gradient.clone().mul_scalar(1.0 - b1);
    let second = state.second.mul_scalar(b2) + gradient.square().mul_scalar(1.0 - b2);
    let root = second.clone().div_scalar(c2).sqrt() + EPSILON;
    let moved = first.clone().div_scalar(c1) / root;
    let weights = weights.mul_scalar(1.0 - step.rate * step.decay) - moved.mul_scalar(step.rate);
    // average + (1 - decay) (weights - average)
    let change = (weights.clone() - state.average.clone()).mul_scalar(1.0 - step.average);
    let state = State {
        first,
        second,
        average: state.average + change,
    };
    (weights, state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;
    use crate::tensors::{from_f32, to_f32};
    use crate::training::flat;
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    /// Sizes of which neither a parameter nor the whole is aligned, and the one with 70,000 weights is split.
    fn layer() -> Linear {
        LinearConfig::new(1000, 70).init(&Device::flex().autodiff())
    }

    /// [`on_vectors`] with separate gradients.
    fn joined(
        module: Linear,
        layout: &Layout,
        gradients: Vec<Option<Tensor<1>>>,
        state: &mut State,
        step: Step,
    ) -> (Linear, Tensor<1>) {
        let chosen: Vec<bool> = gradients.iter().map(Option::is_some).collect();
        let gradient = layout.join(gradients);
        on_vectors(module, layout, gradient, &chosen, state, step)
    }

    /// Three steps with both ways. In the second step the bias has no gradient.
    #[test]
    fn one_pass_in_place_is_the_step_of_plain_operations_on_vectors() {
        let start = layer();
        let layout = Layout::of(&start);
        let weights = layout.weights(&start);
        let [mut a, mut b] = [
            (start.clone(), State::of(weights.clone())),
            (start, State::of(weights)),
        ];
        for number in 1..4 {
            let step = Step {
                rate: 0.01,
                betas: [0.9, 0.95],
                number,
                decay: 0.1,
                average: 0.6,
                clip: 0.3,
            };
            let gradient = |name: &str, n| {
                let values = Streams::new(7).normal(name, number, n);
                Some(from_f32::<1>(values, [n], &Device::flex()))
            };
            let mut both = [&mut a, &mut b].into_iter();
            let mut norms = Vec::new();
            for way in [in_place, joined] {
                let (module, state) = both.next().unwrap();
                let gradients = vec![
                    gradient("weight", 70_000),
                    gradient("bias", 70).filter(|_| number != 2),
                ];
                let (new, norm) = way(module.clone(), &layout, gradients, state, step);
                *module = new;
                norms.push(to_f32(norm).unwrap()[0]);
            }
            assert!((norms[0] / norms[1] - 1.0).abs() < 1e-5, "{norms:?}");
        }
        let all = |(module, state): (Linear, State)| {
            [
                layout.weights(&module),
                state.first,
                state.second,
                state.average,
            ]
            .map(|v| to_f32(v).unwrap())
        };
        for (a, b) in all(a).iter().zip(all(b)) {
            assert_eq!(a.len(), 70_080);
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() < 2e-6 * b.abs().max(1.0), "{a} {b}");
            }
        }
    }

    /// Fails if weight decay, moments or the average move a parameter that the loss does not depend on.
    #[test]
    fn a_parameter_without_a_gradient_stays_as_it_is() {
        let start = layer();
        let layout = Layout::of(&start);
        let gradients = |module: &Linear| {
            let loss = module.weight.val().square().sum();
            flat::gradients(module, &mut loss.backward())
        };
        for way in [in_place, joined] {
            let mut state = State::of(layout.weights(&start));
            let step = Step {
                rate: 0.1,
                betas: [0.9, 0.95],
                number: 1,
                decay: 0.5,
                average: 0.5,
                clip: 1.0,
            };
            let (moved, _) = way(start.clone(), &layout, gradients(&start), &mut state, step);
            let bias = |module: &Linear| to_f32(module.bias.as_ref().unwrap().val()).unwrap();
            assert_eq!(bias(&moved), bias(&start));
            let averaged = layout.put(start.clone().valid(), layout.parts(state.average));
            assert_eq!(bias(&averaged), bias(&start));
            let weight = |module: &Linear| to_f32(module.weight.val()).unwrap();
            assert_ne!(weight(&moved), weight(&start));
            assert_ne!(weight(&averaged), weight(&start));
        }
    }

    #[test]
    fn long_gradients_are_scaled_to_the_global_norm() {
        for (norm, expected) in [(20.0, 0.05), (0.2, 1.0)] {
            let factor = clipping(from_f32(vec![norm], [1], &Device::flex()), 1.0);
            let factor = to_f32(factor).unwrap()[0];
            assert!((factor - expected).abs() < 1e-6, "{factor} {expected}");
        }
    }
}
