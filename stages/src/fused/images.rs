//! Operations on channels-last images [n, H, W, C]: convolutions that halve an image's size, transposed ones that
//! double it, and conversion from and to the order of data, [n, C, H, W].

use super::flex::{is_fused, tensor, values, whole};
use super::halving::{KERNEL, PADDING, STRIDE};
use super::plain;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use latent_align_kernels::{After, Convolution, Image, slope_gradient, sum_of_rows, turn_images};
use std::sync::Arc;

/// A 3 x 3 convolution of stride 2 with zero padding of one pixel: `x` [n, H, W, C], weight [O, C, 3, 3], bias
/// `[O]` -> [n, H / 2, W / 2, O], rounded up; followed by SiLU if `silu` is set.
pub fn convolution(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, silu: bool) -> Tensor<4> {
    if !is_fused(&x) {
        return plain::convolution(x, weight, bias, silu);
    }
    let ([_, height, width, channels], [outputs, ..]) = (x.dims(), weight.dims());
    let of = halving([height, width], channels, outputs);
    Tensor::from_dispatch(<Dispatch as ImageOperations>::fused_convolution(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        of,
        Direction::Down,
        silu,
    ))
}

/// The transposed convolution to images of `size`: `x` [n, h, w, C], weight [C, O, 3, 3], bias `[O]` -> [n, height,
/// width, O], where h and w are the halves of height and width; followed by SiLU if `silu` is set.
pub fn transposed_convolution(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    size: [usize; 2],
    silu: bool,
) -> Tensor<4> {
    if !is_fused(&x) {
        return plain::transposed_convolution(x, weight, bias, size, silu);
    }
    let [channels, outputs, ..] = weight.dims();
    let [_, height, width, _] = x.dims();
    let halved = size.map(|size| size.div_ceil(STRIDE));
    assert_eq!([height, width], halved, "the halves of {size:?}");
    Tensor::from_dispatch(<Dispatch as ImageOperations>::fused_convolution(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        halving(size, outputs, channels),
        Direction::Up,
        silu,
    ))
}

/// The convolution from images of `size` with `fine` channels to half the size with `coarse` channels.
fn halving([height, width]: [usize; 2], fine: usize, coarse: usize) -> Convolution {
    let image = |height, width, channels| Image {
        height,
        width,
        channels,
    };
    Convolution {
        fine: image(height, width, fine),
        coarse: image(height.div_ceil(STRIDE), width.div_ceil(STRIDE), coarse),
        kernel: KERNEL,
        stride: STRIDE,
        padding: PADDING,
    }
}

/// Permutes images [n, C, H, W] to [n, H, W, C].
pub fn channels_last(x: Tensor<4>) -> Tensor<4> {
    let [n, channels, height, width] = x.dims();
    if channels == 1 {
        return x.reshape([n, height, width, 1]);
    }
    if !is_fused(&x) {
        return x.permute([0, 2, 3, 1]);
    }
    let x = x.reshape([n, channels, height * width]);
    let turned = <Dispatch as ImageOperations>::fused_turn(x.into_dispatch());
    Tensor::<3>::from_dispatch(turned).reshape([n, height, width, channels])
}

/// Permutes images [n, H, W, C] to [n, C, H, W].
pub fn channels_first(x: Tensor<4>) -> Tensor<4> {
    let [n, height, width, channels] = x.dims();
    if channels == 1 {
        return x.reshape([n, 1, height, width]);
    }
    if !is_fused(&x) {
        return x.permute([0, 3, 1, 2]);
    }
    let x = x.reshape([n, height * width, channels]);
    let turned = <Dispatch as ImageOperations>::fused_turn(x.into_dispatch());
    Tensor::<3>::from_dispatch(turned).reshape([n, channels, height, width])
}

/// Direction of a convolution.
#[derive(Debug, Clone, Copy)]
pub enum Direction {
    /// From fine images to coarse ones.
    Down,
    /// From coarse images to fine ones.
    Up,
}

/// See the functions above.
#[backend_extension(Autodiff, Flex)]
pub trait ImageOperations: Backend {
    /// A convolution or a transposed one with a bias, then optionally SiLU.
    fn fused_convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        of: Convolution,
        direction: Direction,
        silu: bool,
    ) -> FloatTensor<Self>;

    /// Transposes each of the matrices [n, rows, columns].
    fn fused_turn(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl ImageOperations for Flex {
    fn fused_convolution(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        of: Convolution,
        direction: Direction,
        silu: bool,
    ) -> FlexTensor {
        let bias = whole(bias);
        let after = match silu {
            true => After::BiasSilu(values(&bias), false),
            false => After::Bias(values(&bias)),
        };
        convolved(&whole(x), &whole(weight), of, direction, after).0
    }

    fn fused_turn(x: FlexTensor) -> FlexTensor {
        let x = whole(x);
        let shape = x.layout().shape();
        let [n, rows, columns] = [shape[0], shape[1], shape[2]];
        tensor(turn_images(values(&x), rows, columns), [n, columns, rows])
    }
}

/// The result of a convolution in this direction, and the derivatives of SiLU that are kept.
fn convolved(
    x: &FlexTensor,
    weight: &FlexTensor,
    of: Convolution,
    direction: Direction,
    after: After,
) -> (FlexTensor, Vec<f32>) {
    let (x_values, weight) = (values(x), values(weight));
    let ((out, slope), to) = match direction {
        Direction::Down => (of.down(x_values, weight, after), of.coarse),
        Direction::Up => (of.up(x_values, weight, after), of.fine),
    };
    let images = x.layout().shape()[0];
    let shape = [images, to.height, to.width, to.channels];
    (tensor(out, shape), slope)
}

type Node = FloatTensor<Autodiff<Flex>>;

impl<C: CheckpointStrategy> ImageOperations for Autodiff<Flex, C> {
    fn fused_convolution(
        x: Node,
        weight: Node,
        bias: Node,
        of: Convolution,
        direction: Direction,
        silu: bool,
    ) -> Node {
        let ((x, x_node), (weight, weight_node), (bias, bias_node)) =
            (x.into_parts(), weight.into_parts(), bias.into_parts());
        let (x, weight, bias) = (whole(x), whole(weight), whole(bias));
        match ConvolutionGradient(of, direction)
            .prepare::<C>([x_node, weight_node, bias_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(node) => {
                let after = match silu {
                    true => After::BiasSilu(values(&bias), true),
                    false => After::Bias(values(&bias)),
                };
                let (out, slope) = convolved(&x, &weight, of, direction, after);
                node.finish((x, weight, silu.then(|| Arc::new(slope))), out)
            }
            OpsKind::UnTracked(node) => node.finish(Flex::fused_convolution(
                x, weight, bias, of, direction, silu,
            )),
        }
    }

    fn fused_turn(x: Node) -> Node {
        let (x, node) = x.into_parts();
        let out = Flex::fused_turn(x);
        match TurnGradient.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(node) => node.finish((), out),
            OpsKind::UnTracked(node) => node.finish(out),
        }
    }
}

/// Of a convolution, with the derivatives of SiLU if it follows.
#[derive(Debug)]
struct ConvolutionGradient(Convolution, Direction);

impl Backward<Flex, 3> for ConvolutionGradient {
    type State = (FlexTensor, FlexTensor, Option<Arc<Vec<f32>>>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dout = whole(grads.consume::<Flex>(&ops.node));
        let Self(of, direction) = self;
        let (x, weight, slope) = ops.state;
        let [of_x, of_weight, of_bias] = ops.parents;
        let channels = match direction {
            Direction::Down => of.coarse.channels,
            Direction::Up => of.fine.channels,
        };
        let (dz, bias) = match slope {
            Some(slope) => {
                let (dz, bias) = slope_gradient(values(&dout), &slope, channels);
                (tensor(dz, dout.layout().shape().clone()), Some(bias))
            }
            None => {
                let bias = of_bias
                    .is_some()
                    .then(|| sum_of_rows(values(&dout), channels));
                (dout, bias)
            }
        };
        if let Some((node, bias)) = of_bias.zip(bias) {
            grads.register::<Flex>(node.id, tensor(bias, [channels]));
        }
        if let Some(node) = of_weight {
            let (fine, coarse) = match direction {
                Direction::Down => (&x, &dz),
                Direction::Up => (&dz, &x),
            };
            let dw = of.weight_gradient(values(fine), values(coarse));
            grads.register::<Flex>(node.id, tensor(dw, weight.layout().shape().clone()));
        }
        if let Some(node) = of_x {
            let back = match direction {
                Direction::Down => Direction::Up,
                Direction::Up => Direction::Down,
            };
            let (dx, _) = convolved(&dz, &weight, of, back, After::Nothing);
            grads.register::<Flex>(node.id, dx);
        }
    }
}

/// Of transposes.
#[derive(Debug)]
struct TurnGradient;

impl Backward<Flex, 1> for TurnGradient {
    type State = ();

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dout = grads.consume::<Flex>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<Flex>(node.id, Flex::fused_turn(dout));
        }
    }
}
