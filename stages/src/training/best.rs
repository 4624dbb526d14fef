//! Keeps the module with the lowest held-out loss, and decides on early stopping.

use crate::error::Result;
use crate::persist::{Resumable, Snapshot};
use crate::tensors::{from_f32, to_f32};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// Weights of the best evaluation so far.
pub struct Best<M> {
    /// Evaluations without improvement after which training stops; None: it continues, and the last weights are
    /// used.
    patience: Option<u64>,
    /// Reference for devices and shapes of the weights.
    like: M,
    found: Option<Found<M>>,
}

struct Found<M> {
    loss: f64,
    step: u64,
    /// Evaluations since the best one.
    since: u64,
    module: M,
}

impl<M: Module> Best<M> {
    /// No evaluation yet; `like` is a module of the training, without autodiff.
    pub fn new(patience: Option<u64>, like: M) -> Self {
        Self {
            patience,
            like,
            found: None,
        }
    }

    /// Records the evaluation of `module` after `step` steps; true if training should stop.
    pub(super) fn evaluated(&mut self, loss: f64, step: u64, module: &M) -> bool {
        let Some(patience) = self.patience else {
            return false;
        };
        if let Some(found) = self.found.as_mut().filter(|found| found.loss <= loss) {
            found.since += 1;
            return found.since >= patience;
        }
        self.found = Some(Found {
            loss,
            step,
            since: 0,
            module: module.clone(),
        });
        false
    }

    /// The best module and its step, if kept.
    pub fn take(self) -> Option<(M, u64)> {
        self.found.map(|found| (found.module, found.step))
    }
}

const LOSS: &str = "loss";
const AT: &str = "step";
const SINCE: &str = "since";

impl<M: Module> Resumable for Best<M> {
    fn save(&self, name: &str, snapshot: &mut Snapshot) -> Result<()> {
        struct Save<'a>(String, usize, &'a mut Snapshot, Result<()>);
        impl ModuleVisitor for Save<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let name = format!("{}.{}", self.0, self.1);
                self.1 += 1;
                match to_f32(param.val()) {
                    Ok(values) => self.2.put(name, values),
                    Err(error) => self.3 = Err(error),
                }
            }
        }
        let Some(found) = &self.found else {
            return Ok(());
        };
        snapshot.put_number(format!("{name}.{LOSS}"), found.loss.to_bits());
        snapshot.put_number(format!("{name}.{AT}"), found.step);
        snapshot.put_number(format!("{name}.{SINCE}"), found.since);
        let mut save = Save(name.to_owned(), 0, snapshot, Ok(()));
        found.module.visit(&mut save);
        save.3
    }

    fn restore(&mut self, name: &str, snapshot: &Snapshot) -> Result<()> {
        struct Read<'a>(String, usize, &'a Snapshot, Result<()>);
        impl ModuleMapper for Read<'_> {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let name = format!("{}.{}", self.0, self.1);
                self.1 += 1;
                let (dims, device) = (param.val().dims(), param.val().device());
                match self.2.get_exactly(&name, dims.iter().product()) {
                    Ok(values) => param.map(|_| from_f32(values, dims, &device)),
                    Err(error) => {
                        self.3 = Err(error);
                        param
                    }
                }
            }
        }
        let number = |what| snapshot.number(&format!("{name}.{what}"));
        // a checkpoint from before the first evaluation has none
        let Ok(loss) = number(LOSS) else {
            self.found = None;
            return Ok(());
        };
        let mut read = Read(name.to_owned(), 0, snapshot, Ok(()));
        let module = self.like.clone().map(&mut read);
        read.3?;
        self.found = Some(Found {
            loss: f64::from_bits(loss),
            step: number(AT)?,
            since: number(SINCE)?,
            module,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persist::Snapshot;
    use crate::training::{OptimiserConfig, Trainer};
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    fn line(value: f32) -> Linear {
        let line = LinearConfig::new(1, 2).init(&Device::flex());
        let weight = from_f32(vec![value; 2], [1, 2], &Device::flex());
        Linear {
            weight: line.weight.map(|_| weight),
            bias: line.bias,
        }
    }

    fn weight(line: &Linear) -> f32 {
        to_f32(line.weight.val()).unwrap()[0]
    }

    /// Fails if an equal or worse loss counts as better, or evaluations are counted from the start.
    #[test]
    fn the_best_is_kept_and_a_training_stops_when_nothing_better_comes() {
        let mut best = Best::new(Some(2), line(0.0));
        let losses = [3.0, 2.0, 2.5, 1.5, 1.5, 1.7];
        let stops: Vec<bool> = (losses.iter().zip(1..))
            .map(|(&loss, step)| best.evaluated(loss, step, &line(step as f32)))
            .collect();
        assert_eq!(stops, [false, false, false, false, false, true]);
        let (found, step) = best.take().unwrap();
        assert_eq!((weight(&found), step), (4.0, 4));
        let mut last = Best::new(None, line(0.0));
        assert!(!last.evaluated(1.0, 1, &line(1.0)));
        assert!(last.take().is_none());
    }

    /// Fails if the best weights alias those being trained, as in the code of arXiv 1706.02326: the optimiser
    /// changes weights in place.
    #[test]
    fn the_best_is_no_alias_of_what_goes_on_being_trained() {
        for ema in [0.0, 0.9] {
            let config = OptimiserConfig {
                learning_rate: 0.1,
                warmup_steps: 0,
                ema,
                ..OptimiserConfig::default()
            };
            let module = line(1.0);
            let device = Device::flex().autodiff();
            let module = Linear {
                weight: module
                    .weight
                    .map(|_| from_f32::<2>(vec![1.0; 2], [1, 2], &device).require_grad()),
                bias: None,
            };
            let mut trainer = Trainer::new(module, &config, 20);
            let mut best = Best::new(Some(20), trainer.averaged());
            let mut at_best = None;
            for step in 0..20 {
                let loss = trainer.module.weight.val().square().sum();
                trainer = trainer.step(loss.backward());
                let averaged = trainer.averaged();
                best.evaluated(f64::from(u8::from(step != 4)), step + 1, &averaged);
                if step == 4 {
                    at_best = Some(weight(&averaged));
                }
            }
            let last = weight(&trainer.averaged());
            let (found, step) = best.take().unwrap();
            assert_eq!((Some(weight(&found)), step), (at_best, 5));
            assert!((weight(&found) - last).abs() > 0.1, "{ema}: {last}");
        }
    }

    /// Fails if a resumed training forgets the best weights or the number of evaluations since.
    #[test]
    fn it_goes_on_from_a_checkpoint() {
        let mut best = Best::new(Some(2), line(0.0));
        best.evaluated(2.0, 10, &line(7.0));
        best.evaluated(3.0, 20, &line(8.0));
        let snapshot = Snapshot::of(20, None, &[("best", &best)]).unwrap();
        let mut again = Best::new(Some(2), line(0.0));
        again.restore("best", &snapshot).unwrap();
        assert!(again.evaluated(2.5, 30, &line(9.0)));
        let (found, step) = again.take().unwrap();
        assert_eq!((weight(&found), step), (7.0, 10));
        let mut none = Best::new(Some(2), line(0.0));
        let empty = Snapshot::of(0, None, &[]).unwrap();
        none.restore("best", &empty).unwrap();
        assert!(none.take().is_none());
    }
}
