//! NVIDIA GPUs.

use super::pick::pick;
use super::toolkit;
use crate::error::{Error, Result};
use burn::tensor::{Device, DeviceType};

/// How many there are, none where there is no driver. Opening one that is not there panics.
pub fn count() -> usize {
    Device::enumerate(DeviceType::Cuda).into_vec().len()
}

/// Opens the one of `index`.
///
/// # Errors
/// When it is not there, or what compiles its kernels is not.
pub fn open(index: usize) -> Result<Device> {
    let indices = (0..count()).collect();
    let none = "no NVIDIA GPU or driver was found on this machine";
    let index = pick("cuda", index, indices, none)?;
    match toolkit::missing(&toolkit::Machine) {
        Some(missing) => Err(Error::Device(format!("device `cuda:{index}`: {missing}"))),
        None => Ok(Device::new(burn_cuda::CudaDevice::new(index))),
    }
}
