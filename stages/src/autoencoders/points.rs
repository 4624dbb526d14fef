//! Free points: the paper's controlled experiment, in which nothing but the regulariser moves the
//! latents.

use crate::tensors::from_f32;
use crate::training::Streams;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

/// Latents that are themselves the parameters [count, d].
#[derive(Module, Debug)]
pub struct Points {
    /// The points.
    pub latents: Param<Tensor<2>>,
}

impl Points {
    /// `count` points of `width` dimensions, drawn from N(0, I).
    pub fn new(count: usize, width: usize, streams: Streams, device: &Device) -> Self {
        let values = streams.normal("initial points", 0, count * width);
        let latents = from_f32(values, [count, width], device);
        Self {
            latents: Param::from_tensor(latents),
        }
    }
}
