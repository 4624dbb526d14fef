//! A residual block applied to tangents of the points of one group, and the trace of the resulting
//! Jacobian.
//!
//! Two of the matrix products over tangents can be avoided. Before the first block, tangents are the same
//! at every point. The layer norm's derivative is `(dx - mean(dx) - unit <unit, dx> / width) / std`, so its
//! product with W1 is a combination of products that have one row per tangent or one row per point. After
//! the last block only the trace is needed, so W2 can act on the other side of the inner products, where
//! the same holds.

use crate::block::{Block, TimesSlope};
use crate::blocks::{Blocks, Keep};
use crate::fresh::Fresh;
use crate::layer_norm::{LayerNorm, Moments, layer_norm_tangents, moments, sum2};
use crate::level::for_each_level;
use crate::matmul::{Epilogue, Matrix, matmul, product};
use crate::parallel::*;
use crate::tangents::Tangents;
use std::mem::MaybeUninit;

impl Block<'_> {
    /// Maps `h` [points, width] of one group and its `tangents` to the block's output [points, width] and
    /// the output's tangents [points, k, width].
    pub fn with_tangents(&self, h: &[f32], tangents: Tangents) -> (Vec<f32>, Vec<f32>) {
        let width = self.width();
        let (out, hidden) = self.hidden_tangents(h, tangents);
        let gated = GatedTangent {
            gate: &self.modulation[2 * width..3 * width],
            dh: tangents.values,
            rows: tangents.values.len() / width,
        };
        let images = matmul(self.rows(&hidden), self.square(self.w2), &gated);
        (out, images)
    }

    /// As [`Self::with_tangents`], followed by a layer norm and a linear layer with weights `readout` [k,
    /// width], one row per tangent. Returns the block's output [points, width] and the trace `[points]` of
    /// the whole: the sum over j of the derivative of output j along tangent j.
    pub fn trace(
        &self,
        h: &[f32],
        tangents: Tangents,
        last: LayerNorm,
        readout: &[f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let width = self.width();
        let (out, hidden) = self.hidden_tangents(h, tangents);
        let points = h.len() / width;
        let gate = &self.modulation[2 * width..3 * width];
        let moments = moments(last, &out);

        // q = readout * factor, the adjoints before the norm; W2 (gate * .) applied to q, to 1 and to units
        let (mut factor, mut summand) = (vec![0.0; width], vec![0.0; width]);
        last.affine(0, &mut factor, &mut summand);
        let q = rows_times(readout, &factor);
        let means = means(&q, width);
        let unit = units(&out, &moments, width);
        let ones = vec![1.0; width];
        let [q_back, ones_back, unit_back] =
            [&q, &ones, &unit].map(|rows| self.through(&rows_times(rows, gate), self.w2, true));

        let mut trace = vec![0.0; points];
        trace
            .par_chunks_mut(1)
            .enumerate()
            .for_each(|(point, trace)| {
                let trace = &mut trace[0];
                let at = point * width..(point + 1) * width;
                let row = tangents.count * width;
                inner_products(
                    tangents.of_point(point, width),
                    &hidden[point * row..][..row],
                    [&q, &q_back],
                    &means,
                    &ones_back,
                    [&unit[at.clone()], &unit_back[at]],
                    moments[point].inverse,
                    trace,
                );
            });
        (out, trace)
    }

    /// The output [points, width], and the tangents of silu(W1 u + b1) [points, k, width].
    fn hidden_tangents(&self, h: &[f32], tangents: Tangents) -> (Vec<f32>, Vec<f32>) {
        let width = self.width();
        let points = h.len() / width;
        let (out, kept) = Blocks::new(vec![*self]).forward_keeping(h, Keep::ForInput);
        let kept = &kept.blocks[0];
        if tangents.same_everywhere(width) {
            return (out, self.first(h, &kept.moments, &kept.slope, tangents));
        }
        let du = layer_norm_tangents(self.norm(points), h, &kept.moments, tangents);
        let slope = TimesSlope {
            slope: &kept.slope,
            width,
            rows_per_point: tangents.count,
        };
        let hidden = matmul(self.rows(&du), self.square(self.w1), &slope);
        (out, hidden)
    }

    /// Hidden tangents if the tangents of h are the same at every point.
    fn first(&self, h: &[f32], moments: &[Moments], slope: &[f32], tangents: Tangents) -> Vec<f32> {
        let (width, k) = (self.width(), tangents.count);
        let points = moments.len();
        let (mut factor, mut summand) = (vec![0.0; width], vec![0.0; width]);
        self.norm(points).affine(0, &mut factor, &mut summand);
        let unit = units(h, moments, width);
        let of_tangents = self.through(&rows_times(tangents.values, &factor), self.w1, false);
        let of_ones = self.through(&factor, self.w1, false);
        let of_unit = self.through(&rows_times(&unit, &factor), self.w1, false);
        let tangent_rows = Matrix::new(tangents.values, k, width);
        let along = product(self.rows(&unit), tangent_rows.transposed()); // <unit_i, dx_j>
        let means = means(tangents.values, width);
        let mut hidden = Fresh::new(points * k * width);
        (hidden
            .room()
            .par_chunks_exact_mut((k * width).max(1))
            .enumerate())
        .for_each(|(point, hidden)| {
            let at = point * width..(point + 1) * width;
            combine(
                [&slope[at.clone()], &of_unit[at], &of_ones],
                moments[point].inverse,
                &of_tangents,
                &means,
                &along[point * k..(point + 1) * k],
                hidden,
            );
        });
        // SAFETY: `k` tangents, means and products per point give `k` rows, each written in full.
        unsafe { hidden.written() }
    }

    /// Multiplies rows [n, width] by w1 or w2, or by its transpose.
    fn through(&self, rows: &[f32], weights: &[f32], transposed: bool) -> Vec<f32> {
        let weights = self.square(weights);
        let weights = if transposed {
            weights.transposed()
        } else {
            weights
        };
        product(self.rows(rows), weights)
    }
}

/// Each row times `factor`, entry by entry.
fn rows_times(rows: &[f32], factor: &[f32]) -> Vec<f32> {
    rows.chunks_exact(factor.len())
        .flat_map(|row| row.iter().zip(factor).map(|(x, f)| x * f))
        .collect()
}

fn means(rows: &[f32], width: usize) -> Vec<f32> {
    rows.chunks_exact(width)
        .map(|row| sum2(row, row, |a, _| a) / width as f32)
        .collect()
}

/// `(x - mean) / std` of each row.
fn units(x: &[f32], moments: &[Moments], width: usize) -> Vec<f32> {
    x.chunks_exact(width)
        .zip(moments)
        .flat_map(|(row, m)| row.iter().map(move |x| (x - m.mean) * m.inverse))
        .collect()
}

for_each_level! {
    /// `slope / std (a_j - mean_j ones - along_j unit / width)` for each tangent j.
    fn combine(
        rows: [&[f32]; 3], inverse: f32, of_tangents: &[f32], means: &[f32], along: &[f32],
        hidden: &mut [MaybeUninit<f32>],
    ) {
        let width = rows[0].len();
        let [slope, unit, ones] = rows.map(|row| &row[..width]);
        let tangents = of_tangents.chunks_exact(width).zip(hidden.chunks_exact_mut(width));
        for ((a, hidden), (mean, along)) in tangents.zip(means.iter().zip(along)) {
            let along = along / width as f32;
            for i in 0..width {
                hidden[i].write(slope[i] * inverse * (a[i] - mean * ones[i] - along * unit[i]));
            }
        }
    }
}

for_each_level! {
    /// `sum_j <t_j, r_j> + <p_j, s_j>` with `r_j = (q_j - mean(q_j) - unit <q_j, unit> / width) / std`, and
    /// s_j the same combination of W2's products with q_j, 1 and unit.
    fn inner_products(
        t: &[f32], p: &[f32], q: [&[f32]; 2], means: &[f32], ones: &[f32], unit: [&[f32]; 2],
        inverse: f32, trace: &mut f32,
    ) {
        let width = ones.len();
        let mut sum = 0.0;
        let [unit, unit_back] = unit.map(|row| &row[..width]);
        let rows = t.chunks_exact(width).zip(p.chunks_exact(width));
        let adjoints = q[0].chunks_exact(width).zip(q[1].chunks_exact(width));
        for (((t, p), (q, q_back)), &mean) in rows.zip(adjoints).zip(means) {
            let along = sum2(q, unit, |a, b| a * b) / width as f32;
            // the combination is the same on both sides
            let direct = sum3(t, q, unit, mean, along);
            let back = sum4(p, q_back, ones, unit_back, mean, along);
            sum += direct + back;
        }
        *trace = sum * inverse;
    }
}

/// `<t, q - mean - along unit>`.
#[inline(always)]
fn sum3(t: &[f32], q: &[f32], unit: &[f32], mean: f32, along: f32) -> f32 {
    let products = sum2(t, q, |a, b| a * b);
    products - mean * sum2(t, t, |a, _| a) - along * sum2(t, unit, |a, b| a * b)
}

/// `<p, q - mean ones - along unit>`.
#[inline(always)]
fn sum4(p: &[f32], q: &[f32], ones: &[f32], unit: &[f32], mean: f32, along: f32) -> f32 {
    let products = sum2(p, q, |a, b| a * b);
    products - mean * sum2(p, ones, |a, b| a * b) - along * sum2(p, unit, |a, b| a * b)
}

/// `dh + gate * value`, of `rows` rows of dh one after another.
struct GatedTangent<'a> {
    gate: &'a [f32],
    dh: &'a [f32],
    rows: usize,
}

impl Epilogue for GatedTangent<'_> {
    #[inline(always)]
    fn finish(&self, row: usize, column: usize, values: &mut [f32]) {
        let count = values.len();
        let gate = &self.gate[column..column + count];
        let dh = &self.dh[row % self.rows * self.gate.len() + column..][..count];
        for i in 0..count {
            values[i] = dh[i] + gate[i] * values[i];
        }
    }
}
