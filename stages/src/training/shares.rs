//! Equal shares of a batch, one for each replica of a module on its device.

use burn::tensor::{Device, Tensor};

/// Share `k` of `count` equal shares of row-major `values`.
pub fn share<T>(values: &[T], k: usize, count: usize) -> &[T] {
    let size = values.len() / count;
    &values[k * size..(k + 1) * size]
}

/// Tensors [n_k, ..], each on its device, one after another on the device of the first; differentiable.
pub fn gathered<const D: usize>(mut shares: Vec<Tensor<D>>) -> Tensor<D> {
    if shares.len() == 1 {
        return shares.remove(0);
    }
    let first = shares[0].device();
    let on_first = shares.into_iter().map(|share| share.to_device(&first));
    Tensor::cat(on_first.collect(), 0)
}

/// `whole` [n, ..] in consecutive shares, one on each of `devices`, differentiable: equal if n is a multiple of their
/// number, else as equal as possible. Devices beyond the first n get none.
pub fn spread<const D: usize>(whole: Tensor<D>, devices: &[Device]) -> Vec<Tensor<D>> {
    if devices.len() == 1 {
        return vec![whole];
    }
    let rows = whole.dims()[0];
    let count = devices.len().min(rows);
    let shares = devices.iter().take(count).enumerate().map(|(k, device)| {
        let [start, end] = [k, k + 1].map(|k| k * rows / count);
        let share = whole.clone().narrow(0, start, end - start);
        share.to_device(device)
    });
    shares.collect()
}

/// The mean `[1]` over a batch of which each of `replicas` takes an equal share: of the means that `of` returns for
/// the shares, numbered from 0.
pub fn mean_over<M>(replicas: &[&M], mut of: impl FnMut(usize, &M) -> Tensor<1>) -> Tensor<1> {
    let means = replicas.iter().enumerate().map(|(k, module)| of(k, module));
    mean_of(means.collect())
}

/// The mean `[1]` of `means` `[1]` of equal shares, on the device of the first.
pub fn mean_of(means: Vec<Tensor<1>>) -> Tensor<1> {
    match means.len() {
        1 => gathered(means),
        _ => gathered(means).mean(),
    }
}
