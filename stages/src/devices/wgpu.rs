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

/// The indices of [`all`] whose devices are of the same class as the first: discrete, integrated, virtual,
/// software, or another.
pub fn alike() -> Vec<usize> {
    let all = all();
    let class = |device: &Device| {
        let is_one_of = |kind: fn(usize) -> DeviceKind| {
            (0..all.len()).any(|index| *device == Device::wgpu(kind(index)))
        };
        match () {
            () if is_one_of(DeviceKind::DiscreteGpu) => "discrete",
            () if is_one_of(DeviceKind::IntegratedGpu) => "integrated",
            () if is_one_of(DeviceKind::VirtualGpu) => "virtual",
            () if *device == Device::wgpu(DeviceKind::Cpu) => "software",
            () => "another",
        }
    };
    let classes: Vec<&str> = all.iter().map(class).collect();
    let is_alike = |index: &usize| classes[*index] == classes[0];
    (0..all.len()).filter(is_alike).collect()
}

/// Opens the device of `index`.
///
/// # Errors
/// If it does not exist.
pub fn open(index: usize) -> Result<Device> {
    let none = "no driver for Vulkan, Metal or DirectX was found on this machine";
    pick("wgpu", index, all(), none)
}
