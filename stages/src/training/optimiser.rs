//! AdamW with warm-up, cosine decay, clipping of the global gradient norm, and a moving average of
//! the weights.

use super::adamw::{Gradient, State, Step, update};
use super::config::OptimiserConfig;
use super::divergence::finite;
use super::flat::{self, Layout};
use crate::error::Result;
use crate::tensors::to_f64;
use burn::module::Module;
use burn::tensor::{Device, Gradients, Tensor};
use std::f64::consts::PI;

/// The learning rate of `step` (from 0) of `steps`: linear warm-up, then a cosine down to
/// `final_learning_rate` times the largest at the last step. A single step has the largest rate.
fn learning_rate(config: &OptimiserConfig, step: u64, steps: u64) -> f64 {
    let warmup = config.warmup_steps.min(steps / 2);
    if step < warmup {
        return config.learning_rate * (step + 1) as f64 / warmup as f64;
    }
    let progress = match (steps - warmup).saturating_sub(1) {
        0 => f64::from(u8::from(warmup > 0)),
        last => (step - warmup) as f64 / last as f64,
    };
    let cosine = 0.5 * (1.0 + (PI * progress).cos());
    let floor = config.final_learning_rate;
    config.learning_rate * (floor + (1.0 - floor) * cosine)
}

/// A module in training: its weights, the optimiser's moments and the weights' moving average.
pub struct Trainer<M: Module> {
    /// On a device with autodiff.
    pub module: M,
    pub(super) layout: Layout,
    pub(super) state: State,
    config: OptimiserConfig,
    /// Completed steps.
    pub(super) step: u64,
    steps: u64,
    /// Global gradient norms `[1]` since the last check, on the device.
    norms: Vec<Tensor<1>>,
    /// Name of the gradient in divergence errors.
    gradient: &'static str,
    /// Steps of this trainer per step of the enclosing training.
    each: u64,
}

impl<M: Module> Trainer<M> {
    /// Prepares to train `module` for `steps` steps.
    pub fn new(module: M, config: &OptimiserConfig, steps: u64) -> Self {
        let layout = Layout::of(&module);
        Self {
            state: State::of(layout.weights(&module)),
            layout,
            module,
            config: config.clone(),
            step: 0,
            steps,
            norms: Vec::new(),
            gradient: "gradient",
            each: 1,
        }
    }

    /// Makes it part of another training, with `each` steps of this trainer per step of the other.
    /// Divergences name the step of the other training and call the gradient `gradient`.
    pub fn within_another(self, gradient: &'static str, each: u64) -> Self {
        Self {
            gradient,
            each,
            ..self
        }
    }

    /// The same training on `device` (without autodiff, which is added here), before its first step.
    pub(super) fn copy_on(&self, device: &Device) -> Self {
        assert_eq!(self.step, 0, "the state of the optimiser is not copied");
        let module = self.module.clone().fork(&device.clone().autodiff());
        let mut copy = Self::new(module, &self.config, self.steps);
        (copy.gradient, copy.each) = (self.gradient, self.each);
        copy
    }

    /// One optimiser step. Nothing is read back from the device.
    pub fn step(self, mut gradients: Gradients) -> Self {
        let each = flat::gradients(&self.module, &mut gradients);
        self.step_along(Gradient::Each(each))
    }

    /// One optimiser step along `gradient`.
    pub(super) fn step_along(mut self, gradient: Gradient) -> Self {
        let rate = learning_rate(&self.config, self.step, self.steps);
        self.step += 1;
        // Early weights are far from the final ones, so the average forgets them faster.
        let warm = (1 + self.step) as f64 / (10 + self.step) as f64;
        let step = Step {
            rate,
            betas: self.config.betas,
            number: self.step,
            decay: self.config.weight_decay,
            average: self.config.ema.min(warm),
            clip: self.config.gradient_clip,
        };
        let (module, norm) = update(self.module, &self.layout, gradient, &mut self.state, step);
        self.module = module;
        self.norms.extend(norm);
        self
    }

    /// Fails if a gradient since the last check had a norm that is not finite: such a step either changed
    /// nothing, or turned everything to NaN. Waits for the device.
    ///
    /// # Errors
    /// [`crate::error::Error::Diverged`] names the first such step.
    pub fn check(&mut self) -> Result<()> {
        self.gradients_are_finite()?;
        self.norms.clear();
        Ok(())
    }

    /// As [`Self::check`], repeatable.
    pub(super) fn gradients_are_finite(&self) -> Result<()> {
        if self.norms.is_empty() {
            return Ok(());
        }
        let norms = to_f64(Tensor::cat(self.norms.clone(), 0))?;
        let first = self.step - norms.len() as u64;
        let what = format!("the norm of the {}", self.gradient);
        for (step, norm) in (first..).zip(norms) {
            finite(norm, &what, step / self.each)?;
        }
        Ok(())
    }

    /// The module with averaged weights, without autodiff.
    pub fn averaged(&self) -> M {
        let parts = self.layout.parts(self.state.average.clone());
        self.layout.put(self.module.valid(), parts)
    }

    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        learning_rate(&self.config, self.step, self.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persist::Snapshot;
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
        assert!((rate(10) - 0.1).abs() < 1e-12);
        let middle = (rate(59) + rate(60)) / 2.0;
        assert!((middle - 0.055).abs() < 1e-12, "{middle}");
        assert!(rate(108) > 0.01 + 1e-6);
    }

    #[test]
    fn the_last_step_takes_the_final_learning_rate() {
        for steps in [2, 3, 11, 110, 100_000] {
            let last = learning_rate(&config(), steps - 1, steps);
            assert!((last - 0.01).abs() < 1e-12, "{steps}: {last}");
        }
        assert!((learning_rate(&config(), 0, 1) - 0.1).abs() < 1e-12);
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

    /// Fails if an infinite norm only scales the gradient to zero: weights and loss then stay finite.
    #[test]
    fn a_gradient_whose_norm_overflows_is_a_divergence_of_its_step() {
        let mut trainer = step(trainer(&config()), 1.0);
        trainer.check().unwrap();
        for factor in [1.0, 3e38, 1.0] {
            trainer = step(trainer, factor);
        }
        let saved = Snapshot::of(4, None, &[("layer", &trainer)]).unwrap_err();
        for error in [saved, trainer.check().unwrap_err()] {
            let told = error.to_string();
            assert!(
                told.starts_with("the norm of the gradient is inf after step 2;"),
                "{told}"
            );
        }
    }
}
