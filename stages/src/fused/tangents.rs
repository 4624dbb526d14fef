//! Derivatives along tangents that ride with the points, at one time: no graph, so that they are fused
//! where there is none.

use super::flex::{dims, primitive, tensor, values, whole};
use super::operations::{block, norm, normed};
use super::{BlockWeights, is_fused, plain};
use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use latent_align_kernels::{buffer, layer_norm_tangents, layer_norm_trace};

/// Whether nothing asks for a graph.
fn without_graph(x: &Tensor<2>) -> bool {
    is_fused(x) && !x.device().is_autodiff()
}

/// A [`super::block`] at one time, `modulation` [1, 3 width], with `tangents` of h [n, k, width] (or
/// [1, k, width], the same at every point): its output and their images [n, k, width].
pub fn block_tangents(
    h: Tensor<2>,
    tangents: Tensor<3>,
    modulation: Tensor<2>,
    weights: BlockWeights,
) -> (Tensor<2>, Tensor<3>) {
    if !without_graph(&h) {
        return plain::block_tangents(h, tangents, modulation, weights);
    }
    let [n, width] = h.dims();
    let [_, k, _] = tangents.dims();
    let (h, tangents) = (whole(primitive(h)), whole(primitive(tangents)));
    let BlockWeights {
        gamma,
        beta,
        w1,
        b1,
        w2,
        b2,
    } = weights;
    let others = [
        whole(primitive(modulation)),
        whole(primitive(gamma)),
        whole(primitive(beta)),
        whole(primitive(w1)),
        whole(primitive(b1)),
        whole(primitive(w2)),
        whole(primitive(b2)),
    ];
    let (out, tangents) = block(&others).with_tangents(values(&h), values(&tangents), k);
    (
        Tensor::from_primitive::<Flex>(tensor(out, [n, width])),
        Tensor::from_primitive::<Flex>(tensor(tangents, [n, k, width])),
    )
}

/// The `tangents` of a [`super::modulated_norm`] at one time, `modulation` [1, 2 width]: [n, k, width].
pub fn modulated_norm_tangents(
    x: Tensor<2>,
    tangents: Tensor<3>,
    modulation: Tensor<2>,
) -> Tensor<3> {
    if !without_graph(&x) {
        return plain::modulated_norm_tangents(x, tangents, modulation);
    }
    let [n, width] = x.dims();
    let [_, k, _] = tangents.dims();
    let [x, modulation] = [x, modulation].map(|x| whole(primitive(x)));
    let tangents = whole(primitive(tangents));
    let moments = normed(&x, &modulation).1;
    let mut out = buffer(n * k * width);
    let norm = norm(&x, &modulation);
    layer_norm_tangents(norm, values(&x), &moments, values(&tangents), k, &mut out);
    Tensor::from_primitive::<Flex>(tensor(out, [n, k, width]))
}

/// The sum over tangents j of the derivative of `readout_j . modulated_norm(x)` along tangent j,
/// `readout` [k, width]: `[n]`. With the axes as tangents, the trace of a Jacobian.
pub fn modulated_norm_trace(
    x: Tensor<2>,
    tangents: Tensor<3>,
    modulation: Tensor<2>,
    readout: Tensor<2>,
) -> Tensor<1> {
    if !without_graph(&x) {
        return plain::modulated_norm_trace(x, tangents, modulation, readout);
    }
    let tangents = whole(primitive(tangents));
    let [x, modulation, readout]: [FlexTensor; 3] =
        [x, modulation, readout].map(|x| whole(primitive(x)));
    let moments = normed(&x, &modulation).1;
    let [n, _] = dims(&x);
    let mut out = buffer(n);
    let norm = norm(&x, &modulation);
    layer_norm_trace(
        norm,
        values(&x),
        &moments,
        values(&tangents),
        values(&readout),
        &mut out,
    );
    Tensor::from_primitive::<Flex>(tensor(out, [n]))
}
