//! Data-parallel training: replicas of a module on several devices, each with an equal share of every batch. The loss
//! of the whole batch is one graph over all devices. The gradient of the module is the sum of those of its replicas, so
//! that all of them take the step of a single device.

use super::adamw::Gradient;
use super::flat;
use super::optimiser::Trainer;
use crate::error::Result;
use crate::persist::{Resumable, Snapshot};
use burn::module::Module;
use burn::tensor::distributed::{ReduceOperation, all_reduce};
use burn::tensor::{Device, Tensor};

/// Trainers of the same module that take the same steps, one on each device; at least one.
pub struct Replicas<M: Module> {
    trainers: Vec<Trainer<M>>,
    /// Whether they are on different NVIDIA GPUs, which have collective operations.
    collective: bool,
}

impl<M: Module> Replicas<M> {
    /// `trainer`, which has not taken a step, and copies of it on `others`.
    pub fn of(trainer: Trainer<M>, others: &[Device]) -> Self {
        let copies = others.iter().map(|device| trainer.copy_on(device));
        let copies: Vec<Trainer<M>> = copies.collect();
        let trainers: Vec<_> = std::iter::once(trainer).chain(copies).collect();
        let devices: Vec<&Device> = trainers
            .iter()
            .map(|trainer| &trainer.layout.device)
            .collect();
        Self {
            collective: are_different_nvidia_gpus(&devices),
            trainers,
        }
    }

    /// The one whose state stands for all.
    pub(super) fn first(&self) -> &Trainer<M> {
        &self.trainers[0]
    }

    pub fn steps_taken(&self) -> u64 {
        self.first().steps_taken()
    }

    /// As [`Trainer::check`], of every replica.
    ///
    /// # Errors
    /// As [`Trainer::check`].
    pub fn check(&mut self) -> Result<()> {
        self.trainers.iter_mut().try_for_each(Trainer::check)
    }

    /// The replicas of the module.
    pub fn modules(&self) -> Vec<&M> {
        self.trainers
            .iter()
            .map(|trainer| &trainer.module)
            .collect()
    }

    /// One step of all replicas along the gradient of `loss` `[1]`.
    pub fn step(mut self, loss: Tensor<1>) -> Self {
        let mut gradients = loss.backward();
        if self.trainers.len() == 1 {
            let trainer = self.trainers.remove(0).step(gradients);
            self.trainers.push(trainer);
            return self;
        }
        let each = self.trainers.iter();
        let each = each.map(|trainer| flat::gradients(&trainer.module, &mut gradients));
        let each: Vec<_> = each.collect();
        let chosen: Vec<bool> = each[0].iter().map(Option::is_some).collect();
        let joined = self.trainers.iter().zip(each);
        let joined = joined.map(|(trainer, parts)| trainer.layout.join(parts));
        let joined = joined.collect();
        let sums = match self.collective {
            true => all_reduced(joined),
            false => sum(joined),
        };
        let trainers = (self.trainers.into_iter().zip(sums))
            .map(|(trainer, vector)| {
                let chosen = chosen.clone();
                trainer.step_along(Gradient::Joined { vector, chosen })
            })
            .collect();
        Self { trainers, ..self }
    }
}

impl<M: Module> Resumable for Replicas<M> {
    /// Saves the first one, so that a checkpoint does not depend on the number of replicas.
    fn save(&self, name: &str, snapshot: &mut Snapshot) -> Result<()> {
        self.first().save(name, snapshot)
    }

    fn restore(&mut self, name: &str, snapshot: &Snapshot) -> Result<()> {
        let mut each = self.trainers.iter_mut();
        each.try_for_each(|trainer| trainer.restore(name, snapshot))
    }
}

/// The sum of `vectors` `[n]`, one on each device, on each of these devices, computed on the first.
fn sum(vectors: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
    let devices: Vec<Device> = vectors.iter().map(Tensor::device).collect();
    let on_first = vectors.into_iter().map(|v| v.to_device(&devices[0]));
    let sum = on_first.reduce(|a, b| a + b).expect("a replica");
    let on_each = devices.iter().map(|device| sum.clone().to_device(device));
    on_each.collect()
}

/// The same by the collective operations of NVIDIA GPUs, which need NCCL.
fn all_reduced(vectors: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
    let devices: Vec<Device> = vectors.iter().map(Tensor::device).collect();
    // every replica takes part before the first result is asked for
    let begun: Vec<_> = (vectors.into_iter())
        .map(|v| all_reduce(v, ReduceOperation::Sum, devices.clone()))
        .collect();
    begun.into_iter().map(|sum| sum.resolve()).collect()
}

#[cfg(feature = "cuda")]
fn are_different_nvidia_gpus(devices: &[&Device]) -> bool {
    let gpus = Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec();
    let different = (1..devices.len()).all(|i| !devices[..i].contains(&devices[i]));
    devices.len() > 1 && different && devices.iter().all(|device| gpus.contains(device))
}

#[cfg(not(feature = "cuda"))]
fn are_different_nvidia_gpus(_: &[&Device]) -> bool {
    false
}
