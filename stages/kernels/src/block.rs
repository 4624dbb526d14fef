//! The residual block of the velocity network on slices:
//! `out = h + gate * (W2 silu(W1 u + b1) + b2)`, `u` the modulated layer norm of h. Forward and
//! backward.
//!
//! Rows come in groups that share a modulation [shift, scale, gate]. Weights are [in, out].

use crate::fresh::Fresh;
use crate::layer_norm::{
    LayerNorm, Moments, add_row, gate_gradient, layer_norm, layer_norm_gradient, side_by_side,
};
use crate::matmul::{BiasSilu, Epilogue, Matrix, Plain, matmul};
use crate::parallel::ROWS;
use crate::shared::Shared;
use std::mem::MaybeUninit;

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

/// Activations kept for the backward pass, each [rows, width].
#[derive(Debug, Clone)]
pub struct Kept {
    u: Vec<f32>,
    pub(crate) moments: Vec<Moments>,
    /// silu(W1 u + b1), and the derivative of SiLU there.
    activation: Vec<f32>,
    pub(crate) slope: Vec<f32>,
    /// Value before the gate.
    z: Vec<f32>,
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

    fn rows_per_group(&self, rows: usize) -> usize {
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

    /// `h` [rows, width] -> out [rows, width].
    pub fn forward(&self, h: &[f32]) -> Vec<f32> {
        self.run(h, false).0
    }

    /// As [`Self::forward`], also returning what [`Self::gradient`] needs.
    pub fn forward_keeping(&self, h: &[f32]) -> (Vec<f32>, Kept) {
        self.run(h, true)
    }

    pub(crate) fn run(&self, h: &[f32], keep: bool) -> (Vec<f32>, Kept) {
        let width = self.width();
        let rows = h.len() / width;
        let kept = || Fresh::new(if keep { rows * width } else { 0 });
        let (u, moments) = layer_norm(self.norm(rows), h);

        let mut slope = kept();
        let first = BiasSilu {
            bias: self.b1,
            slope: keep.then(|| Shared::new(slope.room())),
        };
        let activation = matmul(self.rows(&u), self.square(self.w1), &first);
        // SAFETY: it is empty, or the product has finished every entry.
        let slope = unsafe { slope.written() };

        let mut z = kept();
        let second = Gated {
            bias: self.b2,
            h,
            modulation: self.modulation,
            rows_per_group: self.rows_per_group(rows),
            z: keep.then(|| Shared::new(z.room())),
        };
        let out = matmul(self.rows(&activation), self.square(self.w2), &second);
        // SAFETY: as above.
        let z = unsafe { z.written() };
        let kept = Kept {
            u,
            moments,
            activation,
            slope,
            z,
        };
        (out, kept)
    }

    /// The gradient with respect to `h`, given the gradient `dout` of the output, and, if `wanted`,
    /// all other gradients.
    pub fn gradient(
        &self,
        h: &[f32],
        kept: Kept,
        dout: &[f32],
        wanted: bool,
    ) -> (Vec<f32>, Option<BlockGradient>) {
        let width = self.width();
        let rows = h.len() / width;
        let of_weights = |input: &[f32], gradient: &[f32]| {
            let input = self.rows(input).transposed();
            matmul(input, self.rows(gradient), &Plain)
        };

        let (dz, gate) = gate_gradient(
            width,
            self.rows_per_group(rows),
            (self.modulation, 3 * width, 2 * width),
            wanted.then_some(&kept.z),
            dout,
        );
        drop(kept.z);
        let w2 = wanted.then(|| of_weights(&kept.activation, &dz));
        drop(kept.activation);

        // through W2, then SiLU
        let blocks = rows.div_ceil(ROWS);
        let mut sums = vec![0.0; if wanted { blocks * width } else { 0 }];
        let through = TimesSlope {
            slope: &kept.slope,
            width,
            rows_per_point: 1,
            sums: wanted.then(|| Shared::new(&mut sums)),
        };
        let transposed = self.square(self.w2).transposed();
        let da = matmul(self.rows(&dz), transposed, &through);
        let w1 = wanted.then(|| of_weights(&kept.u, &da));

        drop(dz); // dropped before a buffer of the same size is allocated
        let transposed = self.square(self.w1).transposed();
        let du = matmul(self.rows(&da), transposed, &Plain);

        drop(da);
        let norm = self.norm(rows);
        let (dh, norm) = layer_norm_gradient(norm, h, &kept.moments, &du, Some(dout), wanted);

        let others = gate
            .zip(norm)
            .zip(w1.zip(w2))
            .map(|((gate, norm), (w1, w2))| {
                let mut b1 = vec![0.0; width];
                for part in sums.chunks(width) {
                    add_row(part, &mut b1);
                }
                BlockGradient {
                    modulation: side_by_side([&norm.shift, &norm.scale, &gate.gate], width),
                    gamma: norm.gamma,
                    beta: norm.beta,
                    w1,
                    b1,
                    w2,
                    b2: gate.bias,
                }
            });
        (dh, others)
    }
}

/// `h + gate * (value + bias)`; also writes the value before the gate to `z`.
struct Gated<'a> {
    bias: &'a [f32],
    h: &'a [f32],
    modulation: &'a [f32],
    rows_per_group: usize,
    z: Option<Shared<'a, MaybeUninit<f32>>>,
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

/// Multiplies by the `slope` [points, width] of a row's point, and sums blocks of [`ROWS`] rows into
/// `sums` [blocks, width].
pub(crate) struct TimesSlope<'a> {
    pub(crate) slope: &'a [f32],
    pub(crate) width: usize,
    /// Greater than 1 if tangents are computed along with the points.
    pub(crate) rows_per_point: usize,
    pub(crate) sums: Option<Shared<'a>>,
}

impl Epilogue for TimesSlope<'_> {
    #[inline(always)]
    fn finish(&self, row: usize, column: usize, values: &mut [f32]) {
        let count = values.len();
        let slope = &self.slope[row / self.rows_per_point * self.width + column..][..count];
        for i in 0..count {
            values[i] *= slope[i];
        }
        if let Some(sums) = &self.sums {
            // SAFETY: these columns of a block of rows belong to one thread.
            let sums = unsafe { sums.part(row / ROWS * self.width + column, count) };
            for i in 0..count {
                sums[i] += values[i];
            }
        }
    }
}
