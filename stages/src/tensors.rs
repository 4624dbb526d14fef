//! Transfers between host memory and devices.

use crate::error::{Error, Result};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// Host values as a tensor of shape `dims` in f32.
pub fn from_f32<const D: usize>(values: Vec<f32>, dims: [usize; D], device: &Device) -> Tensor<D> {
    #[cfg(test)]
    transfers::count(transfers::WRITE);
    Tensor::from_data(TensorData::new(values, dims), (device, DType::F32))
}

/// Host values as a tensor of shape `dims` and element type `dtype` (f32 or f64).
pub fn from_f64<const D: usize>(
    values: Vec<f64>,
    dims: [usize; D],
    dtype: DType,
    device: &Device,
) -> Tensor<D> {
    #[cfg(test)]
    transfers::count(transfers::WRITE);
    Tensor::from_data(TensorData::new(values, dims), (device, dtype))
}

/// Indices `[n]` on a device.
pub fn indices(places: impl IntoIterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    #[cfg(test)]
    transfers::count(transfers::WRITE);
    let places: Vec<i64> = places.into_iter().map(|place| place as i64).collect();
    let count = places.len();
    Tensor::from_data(TensorData::new(places, [count]), device)
}

/// The values of a tensor of any shape, row-major, in f32.
///
/// # Errors
/// A device error if reading fails.
pub fn to_f32<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    #[cfg(test)]
    transfers::count(transfers::READ);
    tensor.try_into_vec_as().map_err(read_error)
}

/// The values of a tensor of any shape, row-major, in f64.
///
/// # Errors
/// A device error if reading fails.
pub fn to_f64<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f64>> {
    #[cfg(test)]
    transfers::count(transfers::READ);
    tensor.try_into_vec_as().map_err(read_error)
}

/// Stacks `tensors` along a new first dimension.
pub fn stacked<const D: usize, const E: usize>(
    tensors: impl IntoIterator<Item = Tensor<D>>,
) -> Tensor<E> {
    let tensors = tensors
        .into_iter()
        .map(|tensor| tensor.unsqueeze_dim::<E>(0));
    let mut tensors: Vec<Tensor<E>> = tensors.collect();
    match tensors.len() {
        1 => tensors.remove(0),
        _ => Tensor::cat(tensors, 0),
    }
}

/// The value of a tensor `[1]`. Waits for the device.
///
/// # Errors
/// As [`to_f64`].
pub fn scalar(tensor: Tensor<1>) -> Result<f64> {
    Ok(to_f64(tensor)?[0])
}

/// At most `at_most` of the rows [n, width], evenly spaced from the first to the last.
pub fn spread(rows: &[f32], width: usize, at_most: usize) -> Vec<f32> {
    spread_indices(rows.len() / width, at_most)
        .flat_map(|row| rows[row * width..(row + 1) * width].iter().copied())
        .collect()
}

/// At most `at_most` of the numbers 0 to `count` - 1, evenly spaced and ascending.
pub fn spread_indices(count: usize, at_most: usize) -> impl Iterator<Item = usize> {
    let kept = count.min(at_most);
    (0..kept).map(move |i| i * count / kept)
}

fn read_error(error: impl std::fmt::Display) -> Error {
    Error::Device(format!("the device could not return a result: {error}"))
}

/// Casts every real parameter of a module to `dtype`.
pub fn cast<M: Module>(module: M, dtype: DType) -> M {
    struct Cast(DType);
    impl ModuleMapper for Cast {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|tensor| {
                let data = tensor.to_data_dtype(self.0);
                Tensor::from_data(data, (&tensor.device(), self.0))
            })
        }
    }
    module.map(&mut Cast(dtype))
}

/// Transfers of this thread, counted in tests.
#[cfg(test)]
pub mod transfers {
    use std::cell::Cell;

    thread_local! {
        /// Numbers of transfers to and from devices.
        static COUNTS: Cell<[usize; 2]> = const { Cell::new([0; 2]) };
    }

    /// Transfers to devices, and reads from them, since the start of the thread.
    pub fn so_far() -> [usize; 2] {
        COUNTS.get()
    }

    pub(super) const WRITE: usize = 0;
    pub(super) const READ: usize = 1;

    pub(super) fn count(which: usize) {
        let mut counts = COUNTS.get();
        counts[which] += 1;
        COUNTS.set(counts);
    }
}
