//! AdamW with warm-up, cosine decay, clipping of the global gradient norm, and a moving average of
//! the weights.

use super::config::OptimiserConfig;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Gradients, Tensor};
use std::collections::HashMap;
use std::f64::consts::PI;

/// The learning rate of `step` (from 0) of `steps`: linear warm-up, then a cosine down to
/// `final_learning_rate` times the largest.
fn learning_rate(config: &OptimiserConfig, step: u64, steps: u64) -> f64 {
    let warmup = config.warmup_steps.min(steps / 2);
    if step < warmup {
        return config.learning_rate * (step + 1) as f64 / warmup as f64;
    }
    let progress = (step - warmup) as f64 / (steps - warmup).max(1) as f64;
    let cosine = 0.5 * (1.0 + (PI * progress).cos());
    let floor = config.final_learning_rate;
    config.learning_rate * (floor + (1.0 - floor) * cosine)
}

/// A module in training: its weights, the optimiser's moments and the weights' moving average.
pub struct Trainer<M: Module> {
    /// The module, on a device with autodiff.
    pub module: M,
    average: Average,
    optimiser: ModuleOptimizer,
    config: OptimiserConfig,
    step: u64,
    steps: u64,
}

impl<M: Module> Trainer<M> {
    /// Prepares to train `module` for `steps` steps.
    pub fn new(module: M, config: &OptimiserConfig, steps: u64) -> Self {
        let optimiser = AdamWConfig::new()
            .with_beta_1(config.betas[0] as f32)
            .with_beta_2(config.betas[1] as f32)
            .with_epsilon(1e-8)
            .with_weight_decay(config.weight_decay as f32)
            .init();
        Self {
            average: Average::of(&module.valid()),
            module,
            optimiser,
            config: config.clone(),
            step: 0,
            steps,
        }
    }

    /// One step down the gradients of a loss. Nothing is read back from the device.
    pub fn step(mut self, gradients: Gradients) -> Self {
        let gradients = GradientsParams::from_grads(gradients, &self.module);
        let gradients = clip(gradients, &self.module, self.config.gradient_clip);
        let rate = learning_rate(&self.config, self.step, self.steps);
        self.module = self.optimiser.step(rate, self.module, gradients);
        self.step += 1;
        // Early weights are far from the last ones: the average forgets them faster.
        let warm = (1 + self.step) as f64 / (10 + self.step) as f64;
        self.average
            .update(&self.module.valid(), self.config.ema.min(warm));
        self
    }

    /// The module with averaged weights, without autodiff.
    pub fn averaged(&self) -> M {
        self.average.apply(self.module.valid())
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        learning_rate(&self.config, self.step, self.steps)
    }
}

/// Scales all gradients by `min(1, largest / norm)`, norm the global L2 norm.
fn clip<M: Module>(gradients: GradientsParams, module: &M, largest: f64) -> GradientsParams {
    struct Norm<'a>(&'a GradientsParams, Option<Tensor<1>>);
    impl ModuleVisitor for Norm<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.get::<D>(param.id) {
                let square = gradient.square().sum();
                self.1 = Some(match self.1.take() {
                    Some(sum) => sum + square,
                    None => square,
                });
            }
        }
    }
    struct Scale(GradientsParams, Tensor<1>);
    impl ModuleVisitor for Scale {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.remove::<D>(param.id) {
                let factor = self.1.clone().reshape([1; D]);
                self.0.register(param.id, gradient * factor);
            }
        }
    }
    let mut norm = Norm(&gradients, None);
    module.visit(&mut norm);
    let Some(square) = norm.1 else {
        return gradients;
    };
    let factor = (square.sqrt() + 1e-12)
        .recip()
        .mul_scalar(largest)
        .clamp_max(1.0);
    let mut scale = Scale(gradients, factor);
    module.visit(&mut scale);
    scale.0
}

/// A moving average of every real parameter of a module.
struct Average {
    weights: HashMap<ParamId, Box<dyn std::any::Any + Send>>,
}

impl Average {
    fn of<M: Module>(module: &M) -> Self {
        let mut average = Self {
            weights: HashMap::new(),
        };
        average.update(module, 0.0);
        average
    }

    /// `average = decay * average + (1 - decay) * weights`.
    fn update<M: Module>(&mut self, module: &M, decay: f64) {
        struct Update<'a>(&'a mut Average, f64);
        impl ModuleVisitor for Update<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let Self(average, decay) = self;
                let now = param.val();
                let next = match average.weights.remove(&param.id) {
                    Some(before) if *decay > 0.0 => {
                        let before = *before.downcast::<Tensor<D>>().expect("rank is fixed");
                        // before + (1 - decay) (now - before)
                        before.clone() + (now - before).mul_scalar(1.0 - *decay)
                    }
                    _ => now,
                };
                average.weights.insert(param.id, Box::new(next));
            }
        }
        module.visit(&mut Update(self, decay));
    }

    fn apply<M: Module>(&self, module: M) -> M {
        struct Apply<'a>(&'a Average);
        impl ModuleMapper for Apply<'_> {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let weight = self.0.weights[&param.id]
                    .downcast_ref::<Tensor<D>>()
                    .expect("rank is fixed")
                    .clone();
                param.map(|_| weight)
            }
        }
        module.map(&mut Apply(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::{from_f32, to_f32};
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    fn config() -> OptimiserConfig {
        OptimiserConfig {
            learning_rate: 0.1,
            warmup_steps: 10,
            final_learning_rate: 0.1,
            ema: 0.5,
            ..Default::default()
        }
    }

    #[test]
    fn the_learning_rate_warms_up_then_follows_a_cosine_to_its_floor() {
        let rate = |step| learning_rate(&config(), step, 110);
        assert!((rate(0) - 0.01).abs() < 1e-12);
        assert!((rate(9) - 0.1).abs() < 1e-12);
        assert!((rate(60) - 0.055).abs() < 1e-12);
        assert!((rate(110) - 0.01).abs() < 1e-12);
    }

    fn weight(layer: &Linear) -> Vec<f32> {
        to_f32(layer.weight.val()).unwrap()
    }

    /// One step on the loss `factor * sum(weights)`, whose gradient is `factor` everywhere.
    fn step(trainer: Trainer<Linear>, factor: f64) -> Trainer<Linear> {
        let loss = trainer.module.weight.val().sum().mul_scalar(factor);
        trainer.step(loss.backward())
    }

    fn trainer(config: &OptimiserConfig) -> Trainer<Linear> {
        let device = Device::flex().autodiff();
        let mut layer = LinearConfig::new(2, 2).with_bias(false).init(&device);
        layer.weight = layer.weight.map(|w| {
            let ones = from_f32(vec![1.0; 4], [2, 2], &w.device());
            ones.require_grad()
        });
        Trainer::new(layer, config, 100)
    }

    #[test]
    fn a_constant_gradient_moves_weights_by_the_learning_rate() {
        let trainer = step(trainer(&config()), 3.0);
        for w in weight(&trainer.module) {
            assert!((w - 0.99).abs() < 1e-5, "{w}");
        }
    }

    #[test]
    fn the_average_follows_the_weights_at_its_decay() {
        let trainer = step(trainer(&config()), 1.0);
        // decay is min(0.5, 2 / 11) after one step
        let decay = 2.0f32 / 11.0;
        let expected = decay + (1.0 - decay) * 0.99;
        for w in weight(&trainer.averaged()) {
            assert!((w - expected).abs() < 1e-5, "{w} {expected}");
        }
    }

    #[test]
    fn long_gradients_are_scaled_to_the_global_norm() {
        let device = Device::flex().autodiff();
        let layer = LinearConfig::new(2, 2).with_bias(false).init(&device);
        for (factor, expected) in [(10.0, 0.5), (0.1, 0.1)] {
            let loss = layer.weight.val().sum().mul_scalar(factor);
            let gradients = GradientsParams::from_grads(loss.backward(), &layer);
            let clipped = clip(gradients, &layer, 1.0);
            let gradient = to_f32(clipped.get::<2>(layer.weight.id).unwrap()).unwrap();
            for g in gradient {
                assert!((f64::from(g) - expected).abs() < 1e-6, "{g} {expected}");
            }
        }
    }
}
