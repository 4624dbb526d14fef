//! Derivatives along tangents of points: fused if no graph is needed and all points share one modulation.

use super::flex::{is_fused, primitive, tensor, values, whole};
use super::operations::{block, norm};
use super::plain;
use super::weights::BlockWeights;
use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use latent_align_kernels::{Tangents, layer_norm_tangents, moments};

/// Whether operations on `x` [n, width] are fused and need no graph.
pub fn without_graph<const D: usize>(x: &Tensor<D>) -> bool {
    is_fused(x) && !x.device().is_autodiff()
}

/// Whether the kernels apply: they take one modulation for all points.
fn by_kernels(x: &Tensor<2>, modulation: &Tensor<2>) -> bool {
    modulation.dims()[0] == 1 && without_graph(x)
}

/// One of [`super::blocks`] with `modulation` [1, 3 width] for all points or [n, 3 width] for each, applied to h and its
/// `tangents` [n, k, width] (or [1, k, width] if they are the same at every point): its output and the output's
/// tangents [n, k, width].
pub fn block_tangents(
    h: Tensor<2>,
    tangents: Tensor<3>,
    modulation: Tensor<2>,
    weights: BlockWeights,
) -> (Tensor<2>, Tensor<3>) {
    if !by_kernels(&h, &modulation) {
        return plain::block_tangents(h, tangents, modulation, weights);
    }
    let [n, width] = h.dims();
    let [_, k, _] = tangents.dims();
    let (h, tangents) = (whole(primitive(h)), whole(primitive(tangents)));
    let others = operands(modulation, weights);
    let riding = Tangents {
        values: values(&tangents),
        count: k,
    };
    let (out, tangents) = block(&others).with_tangents(values(&h), riding);
    (
        Tensor::from_primitive::<Flex>(tensor(out, [n, width])),
        Tensor::from_primitive::<Flex>(tensor(tangents, [n, k, width])),
    )
}

/// The `tangents` of a [`super::modulated_norm`], `modulation` [1, 2 width] or [n, 2 width]: [n, k, width].
pub fn modulated_norm_tangents(
    x: Tensor<2>,
    tangents: Tensor<3>,
    modulation: Tensor<2>,
) -> Tensor<3> {
    if !by_kernels(&x, &modulation) {
        return plain::modulated_norm_tangents(x, tangents, modulation);
    }
    let [n, width] = x.dims();
    let [_, k, _] = tangents.dims();
    let [x, modulation] = [x, modulation].map(|x| whole(primitive(x)));
    let tangents = whole(primitive(tangents));
    let norm = norm(&x, &modulation);
    let moments = moments(norm, values(&x));
    let riding = Tangents {
        values: values(&tangents),
        count: k,
    };
    let out = layer_norm_tangents(norm, values(&x), &moments, riding);
    Tensor::from_primitive::<Flex>(tensor(out, [n, k, width]))
}

/// A block as in [`block_tangents`], followed by a [`super::modulated_norm`] under `last` [1, 2 width] or [n, 2
/// width] and a linear layer: the block's output [n, width], and the sum over tangents j of the derivative of
/// `readout_j . modulated_norm` along tangent j `[n]`, `readout` [k, width]. With the axes as tangents, that is the
/// trace of a Jacobian.
pub fn block_trace(
    h: Tensor<2>,
    tangents: Tensor<3>,
    modulation: Tensor<2>,
    weights: BlockWeights,
    last: Tensor<2>,
    readout: Tensor<2>,
) -> (Tensor<2>, Tensor<1>) {
    if !by_kernels(&h, &modulation) {
        return plain::block_trace(h, tangents, modulation, weights, last, readout);
    }
    let [n, width] = h.dims();
    let [_, k, _] = tangents.dims();
    let tangents = whole(primitive(tangents));
    let [h, last, readout] = [h, last, readout].map(|x| whole(primitive(x)));
    let others = operands(modulation, weights);
    let riding = Tangents {
        values: values(&tangents),
        count: k,
    };
    let last = norm(&h, &last);
    let (out, trace) = block(&others).trace(values(&h), riding, last, values(&readout));
    (
        Tensor::from_primitive::<Flex>(tensor(out, [n, width])),
        Tensor::from_primitive::<Flex>(tensor(trace, [n])),
    )
}

/// Modulation, gamma, beta, w1, b1, w2, b2.
fn operands(modulation: Tensor<2>, weights: BlockWeights) -> [FlexTensor; 7] {
    let BlockWeights {
        gamma,
        beta,
        w1,
        b1,
        w2,
        b2,
    } = weights;
    [
        primitive(modulation),
        primitive(gamma),
        primitive(beta),
        primitive(w1),
        primitive(b1),
        primitive(w2),
        primitive(b2),
    ]
    .map(whole)
}
