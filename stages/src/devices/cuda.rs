//! NVIDIA GPUs.

use super::pick::pick;
use super::toolkit;
use crate::error::{Error, Result};
use burn::tensor::{Device, DeviceType};

/// The number of GPUs; 0 without a driver. Opening one that does not exist panics.
pub fn count() -> usize {
    Device::enumerate(DeviceType::Cuda).into_vec().len()
}

/// Opens the GPU of `index`.
///
/// # Errors
/// If it or the compiler of its kernels does not exist.
pub fn open(index: usize) -> Result<Device> {
    let indices = (0..count()).collect();
    let none = "no NVIDIA GPU or driver was found on this machine";
    let index = pick("cuda", index, indices, none)?;
    match toolkit::missing(&toolkit::Machine) {
        Some(missing) => Err(Error::Device(format!("device `cuda:{index}`: {missing}"))),
        None => Ok(Device::new(burn_cuda::CudaDevice::new(index))),
    }
}
