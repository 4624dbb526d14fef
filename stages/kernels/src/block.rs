//! The residual block of the velocity network on slices:
//! `out = h + gate * (W2 silu(W1 u + b1) + b2)`, `u` the modulated layer norm of h.
//!
//! Rows come in groups that share a modulation [shift, scale, gate]. Weights are [in, out].

use crate::gate::Gate;
use crate::layer_norm::LayerNorm;
use crate::matmul::{Epilogue, Matrix};
use crate::shared::Shared;
use std::mem::MaybeUninit;
use std::ops::Range;

/// The weights of a block: gamma, beta, b1, b2 `[width]`; w1, w2 [width, width].
#[derive(Clone, Copy)]
pub struct Block<'a> {
    /// Factor of the layer norm.
    pub gamma: &'a [f32],
    /// Summand of the layer norm.
    pub beta: &'a [f32],
    /// First linear layer.
    pub w1: &'a [f32],
    /// Its bias.
    pub b1: &'a [f32],
    /// Second linear layer.
    pub w2: &'a [f32],
    /// Its bias.
    pub b2: &'a [f32],
    /// Shift, scale and gate of each group [groups, 3 width].
    pub modulation: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

/// Gradients with respect to everything except h.
pub struct BlockGradient {
    /// Of shift, scale and gate [groups, 3 width].
    pub modulation: Vec<f32>,
    /// As in [`Block`].
    pub gamma: Vec<f32>,
    /// As in [`Block`].
    pub beta: Vec<f32>,
    /// As in [`Block`].
    pub w1: Vec<f32>,
    /// As in [`Block`].
    pub b1: Vec<f32>,
    /// As in [`Block`].
    pub w2: Vec<f32>,
    /// As in [`Block`].
    pub b2: Vec<f32>,
}

impl<'a> Block<'a> {
    pub(crate) fn width(&self) -> usize {
        self.gamma.len()
    }

    pub(crate) fn rows_per_group(&self, rows: usize) -> usize {
        rows / (self.modulation.len() / (3 * self.width()))
    }

    pub(crate) fn norm(&self, rows: usize) -> LayerNorm<'a> {
        LayerNorm {
            width: self.width(),
            rows_per_group: self.rows_per_group(rows),
            modulation: self.modulation,
            stride: 3 * self.width(),
            weights: Some((self.gamma, self.beta)),
            epsilon: self.epsilon,
        }
    }

    pub(crate) fn square<'b>(&self, weights: &'b [f32]) -> Matrix<'b> {
        Matrix::new(weights, self.width(), self.width())
    }

    pub(crate) fn rows<'b>(&self, values: &'b [f32]) -> Matrix<'b> {
        Matrix::new(values, values.len() / self.width(), self.width())
    }

    pub(crate) fn gate(&self, rows: usize) -> Gate<'a> {
        let width = self.width();
        Gate {
            width,
            rows_per_group: self.rows_per_group(rows),
            modulation: self.modulation,
            stride: 3 * width,
            offset: 2 * width,
        }
    }

    /// The block with the modulations of some `rows` of `all`: those of a part.
    pub(crate) fn of_rows(&self, all: usize, rows: &Range<usize>) -> Self {
        let (per_group, stride) = (self.rows_per_group(all), 3 * self.width());
        let (first, end) = (rows.start / per_group, rows.end.div_ceil(per_group));
        Self {
            modulation: &self.modulation[first * stride..end * stride],
            ..*self
        }
    }
}

/// `h + gate * (value + bias)`; also writes the value before the gate to `z`.
pub(crate) struct Gated<'a> {
    pub(crate) bias: &'a [f32],
    pub(crate) h: &'a [f32],
    pub(crate) modulation: &'a [f32],
    pub(crate) rows_per_group: usize,
    pub(crate) z: Option<Shared<'a, MaybeUninit<f32>>>,
}

impl Epilogue for Gated<'_> {
    #[inline(always)]
    fn finish(&self, row: usize, column: usize, values: &mut [f32]) {
        let (width, count) = (self.bias.len(), values.len());
        let bias = &self.bias[column..column + count];
        let h = &self.h[row * width + column..][..count];
        let gate = (row / self.rows_per_group * 3 + 2) * width + column;
        let gate = &self.modulation[gate..gate + count];
        match &self.z {
            None => {
                for i in 0..count {
                    values[i] = h[i] + gate[i] * (values[i] + bias[i]);
                }
            }
            Some(z) => {
                // SAFETY: each entry is finished exactly once.
                let z = unsafe { z.part(row * width + column, count) };
                for i in 0..count {
                    let before = values[i] + bias[i];
                    z[i].write(before);
                    values[i] = h[i] + gate[i] * before;
                }
            }
        }
    }
}

/// Multiplies by the `slope` [points, width] of a row's point.
pub(crate) struct TimesSlope<'a> {
    pub(crate) slope: &'a [f32],
    pub(crate) width: usize,
    /// Greater than 1 if tangents are computed along with the points.
    pub(crate) rows_per_point: usize,
}

impl Epilogue for TimesSlope<'_> {
    #[inline(always)]
    fn finish(&self, row: usize, column: usize, values: &mut [f32]) {
        let count = values.len();
        let slope = &self.slope[row / self.rows_per_point * self.width + column..][..count];
        for i in 0..count {
            values[i] *= slope[i];
        }
    }
}
