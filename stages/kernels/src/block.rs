//! The residual block of the velocity network on slices:
//! `out = h + gate * (W2 silu(W1 u + b1) + b2)`, `u` the modulated layer norm of h. Forward and
//! backward.
//!
//! Rows come in groups that share a modulation [shift, scale, gate]. Weights are [in, out].
//!
//! A task takes about [`AT_ONCE`] rows through the whole block, so that its activations stay in the cache; likewise
//! backward, if no gradient of the weights is wanted.

use crate::fresh::Fresh;
use crate::layer_norm::{
    LayerNorm, Moments, add_row, gate_gradient, layer_norm, layer_norm_gradient, side_by_side,
};
use crate::matmul::{BiasSilu, Epilogue, InOrder, Matrix, Packed, Plain, Right, fill, matmul};
use crate::parallel::*;
use crate::shared::Shared;
use std::mem::MaybeUninit;
use std::ops::Range;

/// About how many rows a task has at once.
const AT_ONCE: usize = 96;
/// Up to this many rows read the weights where they are.
const FEW: usize = 16;

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

/// What a pass keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Nothing,
    /// What the gradient with respect to h needs.
    ForInput,
    /// What all gradients need.
    ForAll,
}

/// Activations kept for the backward pass, each [rows, width]; those that are not needed are empty.
#[derive(Debug, Clone)]
pub struct Kept {
    keep: Keep,
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
        self.forward_keeping(h, Keep::Nothing).0
    }

    /// As [`Self::forward`], also returning what [`Self::gradient`] needs.
    pub fn forward_keeping(&self, h: &[f32], keep: Keep) -> (Vec<f32>, Kept) {
        let [w1, w2] = [self.w1, self.w2].map(|weights| self.square(weights));
        match h.len() <= FEW * self.width() {
            true => self.run(h, keep, w1, w2),
            false => self.run(h, keep, &Packed::new(w1), &Packed::new(w2)),
        }
    }

    /// The pass with the weights as `w1` and `w2`.
    fn run<R: Right>(&self, h: &[f32], keep: Keep, w1: R, w2: R) -> (Vec<f32>, Kept) {
        let width = self.width();
        let rows = h.len() / width;
        let kept = |wanted| Fresh::new(if wanted { h.len() } else { 0 });
        let all = keep == Keep::ForAll;
        let mut buffers = [true, all, all, keep != Keep::Nothing, all].map(kept);
        let mut moments = vec![Moments::default(); rows];
        let shared = buffers.each_mut().map(|buffer| Shared::new(buffer.room()));
        let of_rows = Shared::new(&mut moments);
        let parts = self.parts(rows);
        Numbers(parts.len()).for_each(|number| {
            let rows = &parts[number];
            let at = rows.start * width..rows.end * width;
            let (block, h) = (self.of_rows(h, rows), &h[at.clone()]);
            let [out, u_to, activation_to, slope, z] = shared.map(|all| {
                // SAFETY: each part has its own rows.
                (!all.is_empty()).then(|| unsafe { all.part(at.start, at.len()) })
            });
            let (u, found) = layer_norm(block.norm(rows.len()), h);
            // SAFETY: as above.
            unsafe { of_rows.part(rows.start, rows.len()) }.copy_from_slice(&found);
            let first = BiasSilu {
                bias: self.b1,
                slope: slope.map(Shared::new),
            };
            let activation = matmul(self.rows(&u), w1, &first);
            let second = Gated {
                bias: self.b2,
                h,
                modulation: block.modulation,
                rows_per_group: block.rows_per_group(rows.len()),
                z: z.map(Shared::new),
            };
            let out = Shared::new(out.expect("an output"));
            fill(self.rows(&activation), w2, out, InOrder, &second);
            for (to, values) in [(u_to, u), (activation_to, activation)] {
                if let Some(to) = to {
                    to.write_copy_of_slice(&values);
                }
            }
        });
        // SAFETY: those that are not empty are written by the parts, which cover the rows.
        let [out, u, activation, slope, z] = buffers.map(|buffer| unsafe { buffer.written() });
        let kept = Kept {
            keep,
            u,
            moments,
            activation,
            slope,
            z,
        };
        (out, kept)
    }

    /// Parts of `rows`, of whole groups or inside one.
    fn parts(&self, rows: usize) -> Vec<Range<usize>> {
        let per_group = self.rows_per_group(rows);
        let groups = rows / per_group;
        let count = rows.div_ceil(AT_ONCE).next_multiple_of(threads());
        let split =
            |n: usize, parts: usize| (0..parts).map(move |i| i * n / parts..(i + 1) * n / parts);
        if groups >= count {
            let of_groups = split(groups, count);
            return of_groups
                .map(|of| of.start * per_group..of.end * per_group)
                .collect();
        }
        let pieces = count.div_ceil(groups).min(per_group);
        let of_group = |group: usize| {
            let first = group * per_group;
            split(per_group, pieces).map(move |of| first + of.start..first + of.end)
        };
        (0..groups).flat_map(of_group).collect()
    }

    /// The block with the modulations of some `rows` of `h`: those of a part.
    fn of_rows(&self, h: &[f32], rows: &Range<usize>) -> Self {
        let (per_group, stride) = (
            self.rows_per_group(h.len() / self.width()),
            3 * self.width(),
        );
        let (first, end) = (rows.start / per_group, rows.end.div_ceil(per_group));
        Self {
            modulation: &self.modulation[first * stride..end * stride],
            ..*self
        }
    }

    /// The gradient with respect to `h`, given the gradient `dout` of the output, and all others if they were kept for.
    ///
    /// # Panics
    /// If nothing was kept.
    pub fn gradient(
        &self,
        h: &[f32],
        kept: Kept,
        dout: &[f32],
    ) -> (Vec<f32>, Option<BlockGradient>) {
        match kept.keep {
            Keep::Nothing => panic!("a pass that kept nothing"),
            Keep::ForInput => (self.gradient_of_input(h, &kept, dout), None),
            Keep::ForAll => {
                let (dh, others) = self.gradients(h, kept, dout);
                (dh, Some(others))
            }
        }
    }

    /// The gradient with respect to `h`.
    fn gradient_of_input(&self, h: &[f32], kept: &Kept, dout: &[f32]) -> Vec<f32> {
        let width = self.width();
        let turned = |weights| Packed::new(self.square(weights).transposed());
        let [w1, w2] = [self.w1, self.w2].map(turned);
        let mut dh = Fresh::new(h.len());
        let to = Shared::new(dh.room());
        let parts = self.parts(h.len() / width);
        Numbers(parts.len()).for_each(|number| {
            let rows = &parts[number];
            let at = rows.start * width..rows.end * width;
            let block = self.of_rows(h, rows);
            let [h, dout, slope] = [h, dout, &kept.slope].map(|values| &values[at.clone()]);
            let norm = block.norm(rows.len());
            let gate = (block.modulation, 3 * width, 2 * width);
            let (dz, _) = gate_gradient(width, norm.rows_per_group, gate, None, dout);
            let through = TimesSlope {
                slope,
                width,
                rows_per_point: 1,
                sums: None,
            };
            let da = matmul(self.rows(&dz), &w2, &through);
            let du = matmul(self.rows(&da), &w1, &Plain);
            let moments = &kept.moments[rows.clone()];
            let (found, _) = layer_norm_gradient(norm, h, moments, &du, Some(dout), false);
            // SAFETY: each part has its own rows.
            unsafe { to.part(at.start, at.len()) }.write_copy_of_slice(&found);
        });
        // SAFETY: the parts cover the rows.
        unsafe { dh.written() }
    }

    /// All gradients. Products over all rows are taken at once, so that their sums do not depend on the parts.
    fn gradients(&self, h: &[f32], kept: Kept, dout: &[f32]) -> (Vec<f32>, BlockGradient) {
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
            Some(&kept.z),
            dout,
        );
        drop(kept.z);
        let w2 = of_weights(&kept.activation, &dz);
        drop(kept.activation);

        // through W2, then SiLU
        let blocks = rows.div_ceil(ROWS);
        let mut sums = vec![0.0; blocks * width];
        let through = TimesSlope {
            slope: &kept.slope,
            width,
            rows_per_point: 1,
            sums: Some(Shared::new(&mut sums)),
        };
        let transposed = self.square(self.w2).transposed();
        let da = matmul(self.rows(&dz), transposed, &through);
        let w1 = of_weights(&kept.u, &da);

        drop(dz); // dropped before a buffer of the same size is allocated
        let transposed = self.square(self.w1).transposed();
        let du = matmul(self.rows(&da), transposed, &Plain);

        drop(da);
        let norm = self.norm(rows);
        let (dh, norm) = layer_norm_gradient(norm, h, &kept.moments, &du, Some(dout), true);

        let (gate, norm) = gate.zip(norm).expect("gradients of modulations");
        let mut b1 = vec![0.0; width];
        for part in sums.chunks(width) {
            add_row(part, &mut b1);
        }
        let others = BlockGradient {
            modulation: side_by_side([&norm.shift, &norm.scale, &gate.gate], width),
            gamma: norm.gamma,
            beta: norm.beta,
            w1,
            b1,
            w2,
            b2: gate.bias,
        };
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
