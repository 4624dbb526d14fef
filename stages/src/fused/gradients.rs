//! Operations on tensors with a graph: each is one node with a hand-written gradient.

use super::flex::{dims, tensor, values, whole};
use super::layer::{Pass, layer};
use super::operations::{
    FusedOperations, OF_BLOCK, blocks, linear_silu, lstm, lstm_states, matrix, norm, normed,
};
use super::tensors::Tensors;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use latent_align_kernels::{
    Keep, Kept, LayerKept, LstmKept, Matrix, Moments, RowMap, bernoulli_by_data,
    bernoulli_by_logit, gated_by_gate, gated_by_value, layer_norm_gradient, linear_gradient,
    side_by_side, silu_gradient, slope_gradient,
};
use std::sync::Arc;

type Node = FloatTensor<Autodiff<Flex>>;

impl<C: CheckpointStrategy> FusedOperations for Autodiff<Flex, C> {
    fn fused_linear(x: Node, weight: Node, bias: Node) -> Node {
        let ((x, x_node), (weight, weight_node), (bias, bias_node)) =
            (x.into_parts(), weight.into_parts(), bias.into_parts());
        let (x, weight) = (whole(x), whole(weight));
        let out = Flex::fused_linear(x.clone(), weight.clone(), bias);
        match LinearGradient
            .prepare::<C>([x_node, weight_node, bias_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(node) => node.finish((x, weight), out),
            OpsKind::UnTracked(node) => node.finish(out),
        }
    }

    fn fused_linear_silu(x: Node, weight: Node, bias: Node) -> Node {
        let ((x, x_node), (weight, weight_node), (bias, bias_node)) =
            (x.into_parts(), weight.into_parts(), bias.into_parts());
        let (x, weight, bias) = (whole(x), whole(weight), whole(bias));
        match LinearSiluGradient
            .prepare::<C>([x_node, weight_node, bias_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(node) => {
                let (out, slope) = linear_silu(&x, &weight, &bias, true);
                node.finish((x, weight, Arc::new(slope)), out)
            }
            OpsKind::UnTracked(node) => node.finish(linear_silu(&x, &weight, &bias, false).0),
        }
    }

    fn fused_silu(x: Node) -> Node {
        elementwise::<C>(x, Flex::fused_silu, silu_gradient)
    }

    fn fused_gated(value: Node, gate: Node) -> Node {
        pairwise::<C>(
            [value, gate],
            Flex::fused_gated,
            [gated_by_value, gated_by_gate],
        )
    }

    fn fused_bernoulli(logit: Node, data: Node) -> Node {
        pairwise::<C>(
            [logit, data],
            Flex::fused_bernoulli,
            [bernoulli_by_logit, bernoulli_by_data],
        )
    }

    fn fused_transformer_layer(h: Node, weights: Tensors<Self>, pass: Arc<Pass>) -> Node {
        let (h, of_h) = h.into_parts();
        let h = whole(h);
        let mut nodes = vec![of_h];
        let weights: [FlexTensor; 12] = weights.array().map(|weight| {
            let (weight, node) = weight.into_parts();
            nodes.push(node);
            whole(weight)
        });
        let nodes: [NodeGuard; 13] = nodes.try_into().expect("of h and 12 weights");
        match LayerGradient.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let (out, kept) = layer(&weights, &pass).forward_keeping(values(&h));
                let out = tensor(out, dims(&h));
                node.finish((h, weights, pass, Arc::new(kept)), out)
            }
            OpsKind::UnTracked(node) => {
                let out = layer(&weights, &pass).forward(values(&h));
                node.finish(tensor(out, dims(&h)))
            }
        }
    }

    fn fused_lstm(gates: Node, weight: Node, begin: Node) -> Node {
        let parts = [gates, weight, begin].map(|tensor| tensor.into_parts());
        let [
            (gates, gates_node),
            (weight, weight_node),
            (begin, begin_node),
        ] = parts;
        let (gates, weight, begin) = (whole(gates), whole(weight), whole(begin));
        let (out, kept) = lstm_states(&gates, &weight, &begin);
        match LstmGradient
            .prepare::<C>([gates_node, weight_node, begin_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(node) => {
                node.finish((weight, begin, out.clone(), Arc::new(kept)), out)
            }
            OpsKind::UnTracked(node) => node.finish(out),
        }
    }

    fn fused_row_map(z: Node, given: Node, map: RowMap) -> Node {
        let ((z, z_node), (given, given_node)) = (z.into_parts(), given.into_parts());
        let (z, given) = (whole(z), whole(given));
        let out = Flex::fused_row_map(z.clone(), given.clone(), map);
        match RowMapGradient
            .prepare::<C>([z_node, given_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(node) => node.finish((z, given, map), out),
            OpsKind::UnTracked(node) => node.finish(out),
        }
    }

    fn fused_modulated_norm(x: Node, modulation: Node) -> Node {
        let ((x, x_node), (modulation, modulation_node)) =
            (x.into_parts(), modulation.into_parts());
        let (x, modulation) = (whole(x), whole(modulation));
        let (out, moments) = normed(&x, &modulation);
        match NormGradient
            .prepare::<C>([x_node, modulation_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(node) => node.finish((x, modulation, Arc::new(moments)), out),
            OpsKind::UnTracked(node) => node.finish(out),
        }
    }

    fn fused_blocks(h: Node, of_blocks: Tensors<Self>) -> Node {
        let mut nodes = Vec::with_capacity(1 + of_blocks.0.len());
        let trained = of_blocks.0.iter().any(|tensor| tensor.is_tracked());
        let keep = match trained {
            true => Keep::ForAll,
            false => Keep::ForInput,
        };
        let mut part = |tensor: Node| {
            let (tensor, node) = tensor.into_parts();
            nodes.push(node);
            whole(tensor)
        };
        let h = part(h);
        let of_blocks = of_blocks.0.into_iter().map(part).collect();
        // a node of Burn has a fixed number of parents
        match nodes.len() / OF_BLOCK {
            1 => through_blocks::<C, 8>(h, of_blocks, nodes, keep),
            2 => through_blocks::<C, 15>(h, of_blocks, nodes, keep),
            3 => through_blocks::<C, 22>(h, of_blocks, nodes, keep),
            4 => through_blocks::<C, 29>(h, of_blocks, nodes, keep),
            5 => through_blocks::<C, 36>(h, of_blocks, nodes, keep),
            6 => through_blocks::<C, 43>(h, of_blocks, nodes, keep),
            7 => through_blocks::<C, 50>(h, of_blocks, nodes, keep),
            8 => through_blocks::<C, 57>(h, of_blocks, nodes, keep),
            count => panic!("{count} blocks in one node, of at most {BLOCKS_AT_ONCE}"),
        }
    }
}

/// The largest number of blocks in one node.
pub(super) const BLOCKS_AT_ONCE: usize = 8;

/// Blocks whose tensors, after `h`, have `nodes`.
fn through_blocks<C: CheckpointStrategy, const N: usize>(
    h: FlexTensor,
    of_blocks: Vec<FlexTensor>,
    nodes: Vec<NodeGuard>,
    keep: Keep,
) -> FloatTensor<Autodiff<Flex, C>> {
    let nodes: [NodeGuard; N] = nodes.try_into().expect("of h and those of each block");
    match BlocksGradient
        .prepare::<C>(nodes)
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(node) => {
            let (out, kept) = blocks(&of_blocks).forward_keeping(values(&h), keep);
            let out = tensor(out, dims(&h));
            node.finish((h, of_blocks, Arc::new(kept)), out)
        }
        OpsKind::UnTracked(node) => {
            let out = blocks(&of_blocks).forward(values(&h));
            node.finish(tensor(out, dims(&h)))
        }
    }
}

/// Of `out = x weight + bias`: dx = dout weight^T, dweight = x^T dout, dbias = the sum of dout's
/// rows.
#[derive(Debug)]
struct LinearGradient;

impl Backward<Flex, 3> for LinearGradient {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dout = whole(grads.consume::<Flex>(&ops.node));
        let (x, weight) = ops.state;
        let parents = ops.parents.map(|node| node.map(|node| node.id));
        register_linear(parents, &x, &weight, matrix(&dout), None, grads);
    }
}

/// Of SiLU of a linear layer.
#[derive(Debug)]
struct LinearSiluGradient;

impl Backward<Flex, 3> for LinearSiluGradient {
    type State = (FlexTensor, FlexTensor, Arc<Vec<f32>>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dout = whole(grads.consume::<Flex>(&ops.node));
        let (x, weight, slope) = ops.state;
        let [rows, columns] = dims(&dout);
        let (dz, bias) = slope_gradient(values(&dout), &slope, columns);
        drop(slope);
        let dz = Matrix::new(&dz, rows, columns);
        let parents = ops.parents.map(|node| node.map(|node| node.id));
        register_linear(parents, &x, &weight, dz, Some(bias), grads);
    }
}

/// Registers the gradients of a linear layer whose output has the gradient `dout`, with that of the bias if it is known.
fn register_linear(
    nodes: [Option<NodeId>; 3],
    x: &FlexTensor,
    weight: &FlexTensor,
    dout: Matrix,
    bias: Option<Vec<f32>>,
    grads: &mut Gradients,
) {
    let mut wanted = nodes.map(|node| node.is_some());
    wanted[2] &= bias.is_none();
    let found = linear_gradient(matrix(x), matrix(weight), dout, wanted);
    let gradients = [found.x, found.weight, bias.or(found.bias)];
    let shapes = [
        x.layout().shape().clone(),
        weight.layout().shape().clone(),
        [dout.columns()].into(),
    ];
    for (node, (gradient, shape)) in nodes.into_iter().zip(gradients.into_iter().zip(shapes)) {
        if let Some((node, gradient)) = node.zip(gradient) {
            grads.register::<Flex>(node, tensor(gradient, shape));
        }
    }
}

/// Gradient of an elementwise function: maps inputs and output gradient to the input gradient.
type Derivative = fn(&[f32], &[f32]) -> Vec<f32>;

/// Applies `forward` to `x`, with a known derivative.
fn elementwise<C: CheckpointStrategy>(
    x: Node,
    forward: fn(FlexTensor) -> FlexTensor,
    derivative: Derivative,
) -> FloatTensor<Autodiff<Flex, C>> {
    let (x, node) = x.into_parts();
    let x = whole(x);
    let out = forward(x.clone());
    match ElementwiseGradient(derivative)
        .prepare::<C>([node])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(node) => node.finish(x, out),
        OpsKind::UnTracked(node) => node.finish(out),
    }
}

/// Of an elementwise function.
#[derive(Debug)]
struct ElementwiseGradient(Derivative);

impl Backward<Flex, 1> for ElementwiseGradient {
    type State = FlexTensor;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dout = whole(grads.consume::<Flex>(&ops.node));
        let x = ops.state;
        if let [Some(node)] = ops.parents {
            let dx = self.0(values(&x), values(&dout));
            grads.register::<Flex>(node.id, tensor(dx, dims(&x)));
        }
    }
}

/// Partial gradient of a function of pairs: maps both inputs and the output gradient to one input's
/// gradient.
type PartialDerivative = fn(&[f32], &[f32], &[f32]) -> Vec<f32>;

/// Applies `forward` elementwise to two matrices of one shape, with known partial derivatives.
fn pairwise<C: CheckpointStrategy>(
    inputs: [Node; 2],
    forward: fn(FlexTensor, FlexTensor) -> FlexTensor,
    derivatives: [PartialDerivative; 2],
) -> FloatTensor<Autodiff<Flex, C>> {
    let [(a, a_node), (b, b_node)] = inputs.map(|input| input.into_parts());
    let (a, b) = (whole(a), whole(b));
    let out = forward(a.clone(), b.clone());
    match PairwiseGradient(derivatives)
        .prepare::<C>([a_node, b_node])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(node) => node.finish([a, b], out),
        OpsKind::UnTracked(node) => node.finish(out),
    }
}

/// Of an elementwise function of pairs.
#[derive(Debug)]
struct PairwiseGradient([PartialDerivative; 2]);

impl Backward<Flex, 2> for PairwiseGradient {
    type State = [FlexTensor; 2];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dout = whole(grads.consume::<Flex>(&ops.node));
        let [a, b] = ops.state;
        for (node, derivative) in ops.parents.into_iter().zip(self.0) {
            if let Some(node) = node {
                let of = derivative(values(&a), values(&b), values(&dout));
                grads.register::<Flex>(node.id, tensor(of, dims(&a)));
            }
        }
    }
}

/// Of a transformer layer.
#[derive(Debug)]
struct LayerGradient;

impl Backward<Flex, 13> for LayerGradient {
    type State = (FlexTensor, [FlexTensor; 12], Arc<Pass>, Arc<LayerKept>);

    fn backward(self, ops: Ops<Self::State, 13>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dout = whole(grads.consume::<Flex>(&ops.node));
        let (h, weights, pass, kept) = ops.state;
        let [of_h, of_weights @ ..] = ops.parents.map(|node| node.map(|node| node.id));
        let wanted = of_weights.iter().any(Option::is_some);
        let layer = layer(&weights, &pass);
        let (dh, gradient) = layer.gradient(values(&h), &kept, values(&dout), wanted);
        if let Some(node) = of_h {
            grads.register::<Flex>(node, tensor(dh, dims(&h)));
        }
        register_weights(of_weights, gradient.into_iter().flatten(), &weights, grads);
    }
}

/// Registers the gradients of weights where they are wanted.
fn register_weights(
    nodes: impl IntoIterator<Item = Option<NodeId>>,
    gradients: impl IntoIterator<Item = Vec<f32>>,
    weights: &[FlexTensor],
    grads: &mut Gradients,
) {
    for ((node, gradient), of) in nodes.into_iter().zip(gradients).zip(weights) {
        if let Some(node) = node {
            let shape = of.layout().shape().clone();
            grads.register::<Flex>(node, tensor(gradient, shape));
        }
    }
}

/// Of an LSTM.
#[derive(Debug)]
struct LstmGradient;

impl Backward<Flex, 3> for LstmGradient {
    type State = (FlexTensor, FlexTensor, FlexTensor, Arc<LstmKept>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dout = whole(grads.consume::<Flex>(&ops.node));
        let (weight, begin, out, kept) = ops.state;
        let states = (values(&out), kept.as_ref());
        let g = lstm(&begin).gradient(values(&weight), values(&begin), states, values(&dout));
        let [rows, columns] = dims(&out);
        let shapes = [[rows, 2 * columns], dims(&weight), dims(&begin)];
        let gradients = [g.gates, g.weight, g.begin].into_iter().zip(shapes);
        for (node, (gradient, shape)) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, tensor(gradient, shape));
            }
        }
    }
}

/// Of a function of rows.
#[derive(Debug)]
struct RowMapGradient;

impl Backward<Flex, 2> for RowMapGradient {
    type State = (FlexTensor, FlexTensor, RowMap);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dout = whole(grads.consume::<Flex>(&ops.node));
        let (z, given, map) = ops.state;
        let [rows, _] = dims(&z);
        let (dz, dgiven) = map.gradient(values(&z), values(&given), values(&dout), rows);
        for (node, (gradient, of)) in ops.parents.into_iter().zip([(dz, z), (dgiven, given)]) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, tensor(gradient, dims(&of)));
            }
        }
    }
}

/// Of the modulated layer norm without weights.
#[derive(Debug)]
struct NormGradient;

impl Backward<Flex, 2> for NormGradient {
    type State = (FlexTensor, FlexTensor, Arc<Vec<Moments>>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dout = whole(grads.consume::<Flex>(&ops.node));
        let (x, modulation, moments) = ops.state;
        let [of_x, of_modulation] = ops.parents;
        let (dx, others) = layer_norm_gradient(
            norm(&x, &modulation),
            values(&x),
            &moments,
            values(&dout),
            None,
            of_modulation.is_some(),
        );
        if let Some(node) = of_x {
            grads.register::<Flex>(node.id, tensor(dx, dims(&x)));
        }
        if let Some((node, others)) = of_modulation.zip(others) {
            let [groups, stride] = dims(&modulation);
            let width = stride / 2;
            let of_both = side_by_side([&others.shift, &others.scale], width);
            grads.register::<Flex>(node.id, tensor(of_both, [groups, stride]));
        }
    }
}

/// Of residual blocks.
#[derive(Debug)]
struct BlocksGradient;

impl<const N: usize> Backward<Flex, N> for BlocksGradient {
    type State = (FlexTensor, Vec<FlexTensor>, Arc<Kept>);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dout = whole(grads.consume::<Flex>(&ops.node));
        let (h, of_blocks, kept) = ops.state;
        let mut nodes = ops.parents.into_iter().map(|node| node.map(|node| node.id));
        let of_h = nodes.next().flatten();
        let kept = Arc::unwrap_or_clone(kept);
        let (dh, gradients) = blocks(&of_blocks).gradient(values(&h), kept, values(&dout));
        if let Some(node) = of_h {
            grads.register::<Flex>(node, tensor(dh, dims(&h)));
        }
        let gradients = (gradients.into_iter())
            .flat_map(|g| [g.modulation, g.gamma, g.beta, g.w1, g.b1, g.w2, g.b2]);
        register_weights(nodes, gradients, &of_blocks, grads);
    }
}
