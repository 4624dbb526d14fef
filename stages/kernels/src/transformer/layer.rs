//! The weights of a layer, and how the work is split.

use super::rotation::Rotation;
use crate::attention::Attention;
use crate::layer_norm::{LayerNorm, layer_norm};
use crate::matmul::{Matrix, Packed};
use std::ops::Range;

/// About how many rows a task has at once.
const ROWS: usize = 96;
/// Sums of gradients that are taken apart and then added, one task each.
const LANES: usize = 8;
/// Maximum number of weights of all [`LANES`].
const WEIGHTS: usize = 1 << 23;

/// A linear layer's weight [in, out] and bias `[out]`.
#[derive(Debug, Clone, Copy)]
pub struct Linear<'a> {
    pub weight: &'a [f32],
    pub bias: &'a [f32],
}

/// A layer norm's factor and summand, each `[C]`.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    pub gamma: &'a [f32],
    pub beta: &'a [f32],
}

/// The weights of a layer and the settings of a pass.
#[derive(Debug, Clone, Copy)]
pub struct TransformerLayer<'a> {
    pub norm1: Norm<'a>,
    /// Queries, keys and values, [C, 3 C].
    pub qkv: Linear<'a>,
    pub projection: Linear<'a>,
    pub norm2: Norm<'a>,
    pub fc1: Linear<'a>,
    pub fc2: Linear<'a>,
    pub attention: Attention,
    pub rotation: Option<Rotation<'a>>,
    /// Factors on what attention and the MLP add to h, each [rows, C].
    pub dropout: Option<[&'a [f32]; 2]>,
    /// Added to variances.
    pub epsilon: f32,
}

/// Activations kept for the backward pass.
#[derive(Debug, Clone)]
pub struct LayerKept {
    /// Queries, keys and values, the first two rotated, [rows, 3 C].
    pub(super) qkv: Vec<f32>,
    /// The output of the attention, and h after it, [rows, C].
    pub(super) attended: Vec<f32>,
    pub(super) h: Vec<f32>,
    /// What the GELU is of, [rows, inner width].
    pub(super) inner: Vec<f32>,
}

/// Weights packed for several products: of the linear layers, in order.
#[derive(Debug, Clone)]
pub(super) struct PackedLayer(pub(super) [Packed; 4]);

impl<'a> TransformerLayer<'a> {
    /// A layer with weights in the order of [`LayerGradient`](super::gradient::LayerGradient), without rotation or
    /// dropout.
    pub fn new(weights: [&'a [f32]; 12], attention: Attention, epsilon: f32) -> Self {
        let norm = |i: usize| Norm {
            gamma: weights[i],
            beta: weights[i + 1],
        };
        let linear = |i: usize| Linear {
            weight: weights[i],
            bias: weights[i + 1],
        };
        Self {
            norm1: norm(0),
            qkv: linear(2),
            projection: linear(4),
            norm2: norm(6),
            fc1: linear(8),
            fc2: linear(10),
            attention,
            rotation: None,
            dropout: None,
            epsilon,
        }
    }

    /// C.
    pub(super) fn channels(&self) -> usize {
        self.norm1.gamma.len()
    }

    /// Width inside the MLP.
    pub(super) fn inner(&self) -> usize {
        self.fc1.bias.len()
    }

    pub(super) fn linear(&self) -> [Linear<'a>; 4] {
        [self.qkv, self.projection, self.fc1, self.fc2]
    }

    /// [in, out] of `layer`.
    pub(super) fn matrix(layer: Linear<'a>) -> Matrix<'a> {
        let columns = layer.bias.len();
        Matrix::new(layer.weight, layer.weight.len() / columns, columns)
    }

    /// `values` [rows, width].
    pub(super) fn rows(values: &[f32], width: usize) -> Matrix<'_> {
        Matrix::new(values, values.len() / width, width)
    }

    pub(super) fn packed(&self) -> PackedLayer {
        PackedLayer(self.linear().map(|layer| Packed::new(Self::matrix(layer))))
    }

    /// `norm` of as many rows as there are in a part; `plain` is [2 C] zeros.
    pub(super) fn norm<'b>(&self, norm: Norm<'b>, rows: usize, plain: &'b [f32]) -> LayerNorm<'b> {
        LayerNorm {
            width: self.channels(),
            rows_per_group: rows,
            modulation: plain,
            stride: plain.len(),
            weights: Some((norm.gamma, norm.beta)),
            epsilon: self.epsilon,
        }
    }

    /// `norm` of `h` [rows, C].
    pub(super) fn normed(&self, norm: Norm, h: &[f32]) -> Vec<f32> {
        let plain = vec![0.0; 2 * self.channels()];
        layer_norm(self.norm(norm, h.len() / self.channels(), &plain), h).0
    }

    /// Splits `points`: the number of lanes, and the points of each part, equally many parts in each lane. Depends on
    /// shapes only.
    pub(super) fn split(&self, points: usize) -> (usize, Vec<Range<usize>>) {
        let weights: usize = self.linear().iter().map(|layer| layer.weight.len()).sum();
        let lanes = match LANES * weights <= WEIGHTS {
            true => LANES.min(points),
            false => 1,
        };
        let per_lane = match lanes {
            0 | 1 => 1,
            _ => {
                let most = points / lanes;
                (points * self.attention.tokens)
                    .div_ceil(lanes * ROWS)
                    .clamp(1, most)
            }
        };
        let parts = lanes * per_lane;
        let part = |i: usize| i * points / parts..(i + 1) * points / parts;
        (lanes, (0..parts).map(part).collect())
    }

    /// Number of points in `h` [n tokens, C].
    pub(super) fn points(&self, h: &[f32]) -> usize {
        let of_point = self.attention.tokens * self.channels();
        assert!(h.len().is_multiple_of(of_point), "parts of points");
        h.len() / of_point
    }

    /// Rows of some points.
    pub(super) fn rows_of(&self, points: &Range<usize>) -> Range<usize> {
        points.start * self.attention.tokens..points.end * self.attention.tokens
    }

    /// Widths of the activations of a [`LayerKept`].
    pub(super) fn widths(&self) -> [usize; 4] {
        let c = self.channels();
        [3 * c, c, c, self.inner()]
    }
}
