//! State of an optimiser and its module: weights, moments, moving average and step.

use super::adamw::Kept;
use super::divergence::unless_before;
use super::optimiser::{Trainer, flat};
use crate::error::{Error, Result};
use crate::persist::{Resumable, Snapshot};
use crate::tensors::{from_f32, to_f32};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use std::collections::HashMap;

/// Parts of the state per parameter.
const WEIGHTS: &str = "weights";
const FIRST: &str = "first_moment";
const SECOND: &str = "second_moment";
const AVERAGE: &str = "average";
/// Completed steps.
const STEP: &str = "step";

impl<M: Module> Resumable for Trainer<M> {
    fn save(&self, name: &str, snapshot: &mut Snapshot) -> Result<()> {
        let mut save = Save {
            path: vec![name.to_owned()],
            kept: &self.kept,
            outcome: Ok(()),
            snapshot,
        };
        self.module.visit(&mut save);
        // weights that are not finite follow from an earlier gradient that was not
        unless_before([self.gradients_are_finite()], save.outcome)?;
        snapshot.put_number(format!("{name}.{STEP}"), self.step);
        Ok(())
    }

    fn restore(&mut self, name: &str, snapshot: &Snapshot) -> Result<()> {
        self.step = snapshot.number(&format!("{name}.{STEP}"))?;
        let mut restore = Restore {
            path: vec![name.to_owned()],
            kept: &mut self.kept,
            outcome: Ok(()),
            snapshot,
        };
        self.module = self.module.clone().map(&mut restore);
        restore.outcome
    }
}

struct Save<'a> {
    path: Vec<String>,
    kept: &'a HashMap<ParamId, Kept>,
    snapshot: &'a mut Snapshot,
    outcome: Result<()>,
}

impl ModuleVisitor for Save<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let kept = &self.kept[&param.id];
        let state = [
            (WEIGHTS, flat(param.val().inner())),
            (FIRST, kept.first.clone()),
            (SECOND, kept.second.clone()),
            (AVERAGE, kept.average.clone()),
        ];
        for (what, values) in state {
            let name = named(&self.path, what);
            let outcome = to_f32(values).and_then(|values| {
                if values.iter().any(|v| !v.is_finite()) {
                    return Err(Error::Diverged {
                        step: self.snapshot.step().saturating_sub(1),
                        what: format!("{name} is not finite"),
                    });
                }
                self.snapshot.put(name, values);
                Ok(())
            });
            if self.outcome.is_ok() {
                self.outcome = outcome;
            }
        }
    }
}

struct Restore<'a> {
    path: Vec<String>,
    kept: &'a mut HashMap<ParamId, Kept>,
    snapshot: &'a Snapshot,
    outcome: Result<()>,
}

impl ModuleMapper for Restore<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, weights, mapper) = param.consume();
        let dims = weights.dims();
        let device = weights.device().inner();
        let count = dims.iter().product();
        let read = |what| -> Result<Tensor<1>> {
            let values = self.snapshot.get_exactly(&named(&self.path, what), count)?;
            Ok(from_f32::<1>(values, [count], &device))
        };
        let all = || {
            let kept = Kept {
                first: read(FIRST)?,
                second: read(SECOND)?,
                average: read(AVERAGE)?,
            };
            Ok((read(WEIGHTS)?, kept))
        };
        let weights = match all() {
            Ok((found, kept)) => {
                self.kept.insert(id, kept);
                Tensor::from_inner(found.reshape(dims)).require_grad()
            }
            Err(error) => {
                if self.outcome.is_ok() {
                    self.outcome = Err(error);
                }
                weights
            }
        };
        Param::from_mapped_value(id, weights, mapper)
    }
}

fn named(path: &[String], what: &str) -> String {
    format!("{}.{what}", path.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;
    use crate::training::{OptimiserConfig, initialise};
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    fn trainer() -> Trainer<Linear> {
        let device = Device::flex().autodiff();
        let layer = LinearConfig::new(3, 2).init(&device);
        let config = OptimiserConfig {
            warmup_steps: 4,
            ..Default::default()
        };
        Trainer::new(initialise(layer, Streams::new(1)), &config, 20)
    }

    /// One step on a loss that differs from step to step.
    fn step(trainer: Trainer<Linear>, number: u64) -> Trainer<Linear> {
        let x = Streams::new(2).normal("x", number, 12);
        let x: Tensor<2> = from_f32(x, [4, 3], &Device::flex().autodiff());
        let loss = trainer.module.forward(x).square().mean();
        trainer.step(loss.backward())
    }

    fn state(trainer: &Trainer<Linear>) -> Snapshot {
        Snapshot::of(0, None, &[("layer", trainer)]).unwrap()
    }

    #[test]
    fn a_resumed_training_ends_in_the_same_bits() {
        let mut whole = trainer();
        let mut stopped = None;
        for number in 0..10 {
            if number == 6 {
                stopped = Some(state(&whole));
            }
            whole = step(whole, number);
        }
        let stopped = stopped.unwrap();
        let mut resumed = step(trainer(), 99); // its own state does not matter
        resumed.restore("layer", &stopped).unwrap();
        assert_eq!(state(&resumed), stopped);
        for number in 6..10 {
            resumed = step(resumed, number);
        }
        assert_eq!(state(&resumed), state(&whole));
        assert_ne!(state(&resumed), stopped);
    }

    #[test]
    fn the_state_of_another_module_is_refused() {
        let device = Device::flex().autodiff();
        let other = LinearConfig::new(2, 2).init(&device);
        let mut other = Trainer::new(other, &OptimiserConfig::default(), 20);
        let message = other.restore("layer", &state(&trainer())).unwrap_err();
        assert!(
            message.to_string().contains("elements of layer.weight."),
            "{message}"
        );
        let message = other.restore("another", &state(&trainer())).unwrap_err();
        assert!(message.to_string().contains("another.step"), "{message}");
    }

    #[test]
    fn weights_that_are_not_finite_are_not_kept() {
        let broken = trainer();
        let loss = broken.module.weight.val().sum().mul_scalar(f64::NAN);
        let broken = broken.step(loss.backward());
        let kept = Snapshot::of(1, None, &[("layer", &broken)]);
        assert!(matches!(kept, Err(Error::Diverged { step: 0, .. })));
    }
}
