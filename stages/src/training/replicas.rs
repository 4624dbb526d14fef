//! Data-parallel training: replicas of a module on several devices, each with an equal share of every batch. The
//! mean of their gradients is that of the whole batch, so that all of them take the step of a single device.

use super::flat;
use super::optimiser::Trainer;
use crate::error::Result;
use crate::persist::{Resumable, Snapshot};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// Trainers of the same module that take the same steps, one on each device; at least one.
pub struct Replicas<M: Module> {
    trainers: Vec<Trainer<M>>,
}

impl<M: Module> From<Trainer<M>> for Replicas<M> {
    fn from(trainer: Trainer<M>) -> Self {
        Self {
            trainers: vec![trainer],
        }
    }
}

impl<M: Module> Replicas<M> {
    /// `trainer`, and copies of it on `others`.
    pub fn of(trainer: Trainer<M>, others: &[Device]) -> Self {
        let copies = others.iter().map(|device| trainer.copy_on(device));
        let copies: Vec<Trainer<M>> = copies.collect();
        Self {
            trainers: std::iter::once(trainer).chain(copies).collect(),
        }
    }

    /// The one whose state stands for all.
    pub(super) fn first(&self) -> &Trainer<M> {
        &self.trainers[0]
    }

    pub(super) fn first_mut(&mut self) -> &mut Trainer<M> {
        &mut self.trainers[0]
    }

    /// The replicas of the module.
    pub(super) fn modules(&self) -> Vec<&M> {
        self.trainers
            .iter()
            .map(|trainer| &trainer.module)
            .collect()
    }

    /// One step of all replicas along the mean gradient of `losses` `[1]`, one of each replica.
    pub(super) fn step(mut self, losses: Vec<Tensor<1>>) -> Self {
        let mut gradients = losses.into_iter().map(|loss| loss.backward());
        if self.trainers.len() == 1 {
            let trainer = self.trainers.remove(0);
            return trainer.step(gradients.next().expect("a loss")).into();
        }
        let each = (self.trainers.iter().zip(gradients))
            .map(|(trainer, found)| flat::gradients(&trainer.module, found));
        let each: Vec<_> = each.collect();
        let chosen: Vec<bool> = each[0].iter().map(Option::is_some).collect();
        let joined = self.trainers.iter().zip(each);
        let joined = joined.map(|(trainer, parts)| trainer.layout.join(parts));
        let means = mean(joined.collect());
        let trainers = (self.trainers.into_iter().zip(means))
            .map(|(trainer, mean)| trainer.step_along(mean, &chosen))
            .collect();
        Self { trainers }
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

/// The mean of `vectors` `[n]`, one on each device, on each of these devices.
fn mean(vectors: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
    #[cfg(feature = "cuda")]
    if let Some(means) = all_reduced(&vectors) {
        return means;
    }
    let devices: Vec<Device> = vectors.iter().map(Tensor::device).collect();
    let count = vectors.len() as f64;
    let on_first = vectors.into_iter().map(|v| v.to_device(&devices[0]));
    let mean = on_first.reduce(|a, b| a + b).expect("a replica") / count;
    let on_each = devices.iter().map(|device| mean.clone().to_device(device));
    on_each.collect()
}

/// The same by the collective operations of NVIDIA GPUs; None if `vectors` are not on several of them.
#[cfg(feature = "cuda")]
fn all_reduced(vectors: &[Tensor<1>]) -> Option<Vec<Tensor<1>>> {
    use burn::tensor::distributed::{ReduceOperation, all_reduce};
    use burn::tensor::{DeviceType, Tensor};
    let gpus = Device::enumerate(DeviceType::Cuda).into_vec();
    let devices: Vec<Device> = vectors.iter().map(Tensor::device).collect();
    let distinct = (1..devices.len()).all(|i| !devices[..i].contains(&devices[i]));
    if !distinct || !devices.iter().all(|device| gpus.contains(device)) {
        return None;
    }
    // every replica takes part before the first result is asked for
    let begun: Vec<_> = (vectors.iter())
        .map(|v| all_reduce(v.clone(), ReduceOperation::Mean, devices.clone()))
        .collect();
    Some(begun.into_iter().map(|mean| mean.resolve()).collect())
}
