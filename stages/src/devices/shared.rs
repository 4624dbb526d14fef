//! Batches shared by several devices.

use crate::problems::Problems;

/// How a data-parallel training shares a batch: in equal parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    /// Key of the number that is divided, within the stage's section.
    pub key: &'static str,
    /// That number: each device gets an equal part of it.
    pub count: usize,
}

impl Shared {
    /// Devices share `count` rows, given under `batch`.
    pub fn of_batch(count: usize) -> Self {
        let key = "batch";
        Self { key, count }
    }

    /// Reports a count that `devices` devices cannot share equally.
    pub fn check(self, devices: usize, problems: &mut Problems) {
        problems.require(
            self.count.is_multiple_of(devices),
            self.key,
            self.count,
            &format!("a multiple of {devices}, the number of `devices`, which share it equally"),
        );
    }
}
