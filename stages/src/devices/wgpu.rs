//! GPUs through a graphics API, including software ones.

use super::pick::pick;
use crate::error::Result;
use burn::tensor::{Device, DeviceKind, DeviceType};

/// The devices of this machine: GPUs in the API's order, then the CPU if a software driver provides
/// one.
pub fn all() -> Vec<Device> {
    let software = Device::wgpu(DeviceKind::Cpu);
    let found = Device::enumerate(DeviceType::Wgpu).into_vec().into_iter();
    let (last, mut all): (Vec<Device>, Vec<Device>) = found.partition(|d| *d == software);
    all.extend(last);
    all
}

/// Opens the device of `index`.
///
/// # Errors
/// If it does not exist.
pub fn open(index: usize) -> Result<Device> {
    let none = "no driver for Vulkan, Metal or DirectX was found on this machine";
    pick("wgpu", index, all(), none)
}
