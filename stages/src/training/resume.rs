//! State of an optimiser and its module: weights, moments, moving average and step.

use super::adamw::State;
use super::divergence::unless_before;
use super::optimiser::Trainer;
use crate::error::{Error, Result};
use crate::persist::{Resumable, Snapshot};
use crate::tensors::to_f32;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// Parts of the state per parameter.
const WEIGHTS: &str = "weights";
const FIRST: &str = "first_moment";
const SECOND: &str = "second_moment";
const AVERAGE: &str = "average";
/// Completed steps.
const STEP: &str = "step";

impl<M: Module> Resumable for Trainer<M> {
    fn save(&self, name: &str, snapshot: &mut Snapshot) -> Result<()> {
        let saved = self.save_vectors(name, snapshot);
        // weights that are not finite follow from an earlier gradient that was not
        unless_before([self.gradients_are_finite()], saved)?;
        snapshot.put_number(format!("{name}.{STEP}"), self.step);
        Ok(())
    }

    fn restore(&mut self, name: &str, snapshot: &Snapshot) -> Result<()> {
        let names = names(&self.module, name);
        let read = |what| {
            (self.layout).filled(|i, range| {
                snapshot.get_exactly(&format!("{}.{what}", names[i]), range.len())
            })
        };
        let step = snapshot.number(&format!("{name}.{STEP}"))?;
        let state = State {
            first: read(FIRST)?,
            second: read(SECOND)?,
            average: read(AVERAGE)?,
        };
        let weights = self.layout.parts(read(WEIGHTS)?);
        self.module = self.layout.put(self.module.clone(), weights);
        (self.step, self.state) = (step, state);
        Ok(())
    }
}

impl<M: Module> Trainer<M> {
    /// Writes weights and state, parameter by parameter.
    fn save_vectors(&self, name: &str, snapshot: &mut Snapshot) -> Result<()> {
        let names = names(&self.module, name);
        let vectors = [
            (WEIGHTS, self.layout.weights(&self.module)),
            (FIRST, self.state.first.clone()),
            (SECOND, self.state.second.clone()),
            (AVERAGE, self.state.average.clone()),
        ];
        for (what, vector) in vectors {
            let values = to_f32(vector)?;
            for (name, range) in names.iter().zip(self.layout.ranges()) {
                let (name, values) = (format!("{name}.{what}"), values[range].to_vec());
                if values.iter().any(|v| !v.is_finite()) {
                    return Err(Error::Diverged {
                        step: snapshot.step().saturating_sub(1),
                        what: format!("{name} is not finite"),
                    });
                }
                snapshot.put(name, values);
            }
        }
        Ok(())
    }
}

/// The names of the parameters of `module`, which itself is called `name`, in its order.
fn names<M: Module>(module: &M, name: &str) -> Vec<String> {
    struct Names {
        path: Vec<String>,
        found: Vec<String>,
    }
    impl ModuleVisitor for Names {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
            self.found.push(self.path.join("."));
        }
    }
    let mut names = Names {
        path: vec![name.to_owned()],
        found: Vec::new(),
    };
    module.visit(&mut names);
    names.found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;
    use crate::tensors::from_f32;
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
