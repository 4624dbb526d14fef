//! GPUs through a graphics API, and software ones.

use super::pick::pick;
use crate::error::Result;
use burn::tensor::{Device, DeviceKind, DeviceType};

/// Those of this machine: GPUs as the API counts them, then the processor where a software driver makes
/// one of it.
pub fn all() -> Vec<Device> {
    let software = Device::wgpu(DeviceKind::Cpu);
    let found = Device::enumerate(DeviceType::Wgpu).into_vec().into_iter();
    let (last, mut all): (Vec<Device>, Vec<Device>) = found.partition(|d| *d == software);
    all.extend(last);
    all
}

/// Opens the one of `index`.
///
/// # Errors
/// When it is not there.
pub fn open(index: usize) -> Result<Device> {
    let none = "no driver for Vulkan, Metal or DirectX was found on this machine";
    pick("wgpu", index, all(), none)
}
