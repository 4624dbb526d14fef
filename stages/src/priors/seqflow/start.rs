//! Initial values of contexts and tables: numbers from N(0, 1); and the start token.

use crate::random::Streams;
use crate::tensors::from_f32;
use burn::module::Param;
use burn::tensor::Tensor;

/// Fills `param` with numbers from N(0, 1), keyed by `name` and block `number`.
pub(super) fn drawn(
    param: &Param<Tensor<2>>,
    name: &'static str,
    number: u64,
    streams: Streams,
) -> Param<Tensor<2>> {
    param.clone().map(|tensor| {
        let (dims, device) = (tensor.dims(), tensor.device());
        from_f32(
            streams.normal(name, number, dims[0] * dims[1]),
            dims,
            &device,
        )
    })
}

/// Prepends the start token [1, F]: what is read for the next of `n` points, given `before` [n, F].
pub(super) fn read_next(start: Tensor<2>, before: Option<Tensor<2>>, n: usize) -> Tensor<2> {
    before.unwrap_or_else(|| start.repeat_dim(0, n))
}
