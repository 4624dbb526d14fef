//! Conversion between Burn's CPU tensors and slices.

use burn::backend::Flex;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Device, Shape, Tensor};

/// Whether operations on `x` are fused: on the CPU, in f32.
pub fn is_fused<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && x.device().inner() == Device::flex()
}

/// The CPU tensor of a tensor without a graph.
pub(super) fn primitive<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    let on_cpu = tensor.try_into_primitive::<Flex>();
    on_cpu.expect("checked: a tensor on the CPU without a graph")
}

/// Calls `f` with the values of a CPU tensor `[n]`.
pub fn flex_ref<R>(tensor: Tensor<1>, f: impl FnOnce(&[f32]) -> R) -> R {
    flex_refs([tensor], |all| f(all[0]))
}

/// Calls `f` with the values of CPU tensors, each `[n]` with its own n.
pub fn flex_refs<R>(
    tensors: impl IntoIterator<Item = Tensor<1>>,
    f: impl FnOnce(&[&[f32]]) -> R,
) -> R {
    let whole: Vec<FlexTensor> = tensors.into_iter().map(|t| whole(primitive(t))).collect();
    f(&whole.iter().map(values).collect::<Vec<_>>())
}

/// Calls `f` with mutable values of CPU tensors, each `[n]` with its own n; in place if they are not shared.
pub fn flex_mut(tensors: Vec<&mut Tensor<1>>, f: impl FnOnce(Vec<&mut [f32]>)) {
    let take = |tensor: &mut Tensor<1>| {
        let nothing = Tensor::empty([0], &tensor.device());
        whole(primitive(std::mem::replace(tensor, nothing)))
    };
    let mut taken: Vec<_> = (tensors.into_iter())
        .map(|tensor| (take(tensor), tensor))
        .collect();
    f(taken
        .iter_mut()
        .map(|(values, _)| values.storage_mut())
        .collect());
    for (values, tensor) in taken {
        *tensor = Tensor::from_primitive::<Flex>(values);
    }
}

/// A tensor with `values`, row-major.
pub(super) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    let layout = Layout::contiguous(shape.into());
    FlexTensor::new(Bytes::from_elems(values), layout, DType::F32)
}

/// The same values, contiguous and row-major.
pub(super) fn whole(tensor: FlexTensor) -> FlexTensor {
    // a view of a part of a buffer counts as contiguous, too
    let entire = tensor.bytes().len() == tensor.layout().num_elements() * size_of::<f32>();
    match entire && tensor.is_contiguous() {
        true => tensor,
        false => tensor.to_contiguous(),
    }
}

/// The values of a tensor from [`whole`].
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("f32, in one piece")
}

/// Rows and columns of a matrix.
pub(super) fn dims(tensor: &FlexTensor) -> [usize; 2] {
    let shape = tensor.layout().shape();
    [shape[0], shape[1]]
}
