//! The backward pass of a layer.

use super::layer::{LayerKept, Linear, Norm, PackedLayer, TransformerLayer};
use crate::activation::gelu_and_slope;
use crate::block::TimesSlope;
use crate::fresh::Fresh;
use crate::layer_norm::{layer_norm, layer_norm_gradient};
use crate::matmul::{Matrix, Packed, Plain, add_product, matmul, product};
use crate::parallel::*;
use crate::segments::{add_row, sum_of_rows};
use crate::shared::Shared;
use std::borrow::Cow;
use std::ops::Range;

/// Gradients with respect to the weights: gamma and beta of the first norm, weight and bias of queries, keys and
/// values, of the projection, gamma and beta of the second norm, weight and bias of both layers of the MLP.
pub type LayerGradient = [Vec<f32>; 12];

/// Where gradients of a norm or a linear layer begin in a [`LayerGradient`].
const NORM1: usize = 0;
const QKV: usize = 2;
const PROJECTION: usize = 4;
const NORM2: usize = 6;
const FC1: usize = 8;
const FC2: usize = 10;

/// Numbers per task when lanes are added.
const CHUNK: usize = 1 << 14;

impl<'a> TransformerLayer<'a> {
    /// The gradient with respect to `h`, given the gradient `dout` of the output, and, if `wanted`, those of the
    /// weights.
    pub fn gradient(
        &self,
        h: &[f32],
        kept: &LayerKept,
        dout: &[f32],
        wanted: bool,
    ) -> (Vec<f32>, Option<LayerGradient>) {
        let turned = |layer: Linear<'a>| Packed::new(Self::matrix(layer).transposed());
        let turned = PackedLayer(self.linear().map(turned));
        let (lanes, parts) = self.split(self.points(h));
        let mut dh = Fresh::new(h.len());
        let to = Shared::new(dh.room());
        let c = self.channels();
        let sums = (Numbers(lanes))
            .map(|lane| {
                let per_lane = parts.len() / lanes;
                let mut sums = wanted.then(LayerGradient::default);
                for points in &parts[lane * per_lane..(lane + 1) * per_lane] {
                    let rows = self.rows_of(points);
                    let found = self.backward(&turned, h, kept, dout, &rows, sums.as_mut());
                    // SAFETY: each part has its own rows.
                    let to = unsafe { to.part(rows.start * c, rows.len() * c) };
                    to.write_copy_of_slice(&found);
                }
                sums
            })
            .collect();
        // SAFETY: the parts cover the rows.
        (unsafe { dh.written() }, added(sums))
    }

    /// The gradient of some `rows` of h; those of the weights are added to `sums`.
    fn backward(
        &self,
        PackedLayer([qkv, projection, fc1, fc2]): &PackedLayer,
        h: &[f32],
        kept: &LayerKept,
        dout: &[f32],
        rows: &Range<usize>,
        mut sums: Option<&mut LayerGradient>,
    ) -> Vec<f32> {
        let (c, inner_width) = (self.channels(), self.inner());
        let dout = part(dout, rows, c);

        let d = self.masked(dout, 1, rows);
        let (inner, slope) = gelu_and_slope(part(&kept.inner, rows, inner_width));
        add_linear(sums.as_deref_mut(), FC2, &inner, &d, c);
        drop(inner);
        let through = TimesSlope {
            slope: &slope,
            width: inner_width,
            rows_per_point: 1,
        };
        let d = matmul(Self::rows(&d, c), fc2, &through);
        drop(slope);
        let after = part(&kept.h, rows, c);
        let linear = (FC1, fc1, inner_width);
        let sums2 = sums.as_deref_mut();
        let dafter = self.through_norm((self.norm2, NORM2), linear, after, (&d, dout), sums2);
        drop(d);

        let d = self.masked(&dafter, 0, rows);
        let attended = part(&kept.attended, rows, c);
        add_linear(sums.as_deref_mut(), PROJECTION, attended, &d, c);
        let d = matmul(Self::rows(&d, c), projection, &Plain);
        let mut d = self.attention.gradient(part(&kept.qkv, rows, 3 * c), &d);
        if let Some(rotation) = self.rotation {
            rotation.turn_back(self.attention, &mut d);
        }
        let linear = (QKV, qkv, 3 * c);
        self.through_norm(
            (self.norm1, NORM1),
            linear,
            part(h, rows, c),
            (&d, &dafter),
            sums,
        )
    }

    /// The gradient `d` [rows, C] times the dropout mask.
    fn masked<'b>(&self, d: &'b [f32], which: usize, rows: &Range<usize>) -> Cow<'b, [f32]> {
        match self.dropout {
            None => Cow::Borrowed(d),
            Some(masks) => {
                let mask = part(masks[which], rows, self.channels());
                Cow::Owned(d.iter().zip(mask).map(|(d, m)| d * m).collect())
            }
        }
    }

    /// The gradient of `x`, whose `norm` goes through a linear layer [C, width] with the gradient `d` [rows, width],
    /// plus `residual`.
    fn through_norm(
        &self,
        (norm, of_norm): (Norm, usize),
        (of_linear, turned, width): (usize, &Packed, usize),
        x: &[f32],
        (d, residual): (&[f32], &[f32]),
        mut sums: Option<&mut LayerGradient>,
    ) -> Vec<f32> {
        let plain = vec![0.0; 2 * self.channels()];
        let norm = self.norm(norm, x.len() / self.channels(), &plain);
        let (u, moments) = layer_norm(norm, x);
        add_linear(sums.as_deref_mut(), of_linear, &u, d, width);
        drop(u);
        let du = matmul(Self::rows(d, width), turned, &Plain);
        let wanted = sums.is_some();
        let (dx, found) = layer_norm_gradient(norm, x, &moments, &du, Some(residual), wanted);
        if let Some((sums, found)) = sums.zip(found) {
            add_to(&mut sums[of_norm], found.gamma);
            add_to(&mut sums[of_norm + 1], found.beta);
        }
        dx
    }
}

/// Some `rows` of `values` [all rows, width].
fn part<'a>(values: &'a [f32], rows: &Range<usize>, width: usize) -> &'a [f32] {
    &values[rows.start * width..rows.end * width]
}

/// Adds the gradients of weight and bias of a linear layer with the input `x` [rows, in] and the gradient `d` [rows,
/// width] of its output to `sums`, where they begin at `at`.
fn add_linear(sums: Option<&mut LayerGradient>, at: usize, x: &[f32], d: &[f32], width: usize) {
    let Some(sums) = sums else { return };
    let rows = d.len() / width;
    let (x, matrix) = (
        Matrix::new(x, rows, x.len() / rows).transposed(),
        Matrix::new(d, rows, width),
    );
    match sums[at].is_empty() {
        true => sums[at] = product(x, matrix),
        false => add_product(x, matrix, &mut sums[at]),
    }
    add_to(&mut sums[at + 1], sum_of_rows(d, width));
}

/// `sum += more`; an empty sum is zero.
fn add_to(sum: &mut Vec<f32>, more: Vec<f32>) {
    match sum.is_empty() {
        true => *sum = more,
        false => add_row(&more, sum),
    }
}

/// The sum of the lanes' gradients, in their order.
fn added(lanes: Vec<Option<LayerGradient>>) -> Option<LayerGradient> {
    let mut lanes = lanes.into_iter();
    let mut total = lanes.next().flatten()?;
    let others: Vec<LayerGradient> = lanes.flatten().collect();
    for (which, total) in total.iter_mut().enumerate() {
        (total.par_chunks_mut(CHUNK).enumerate()).for_each(|(number, total)| {
            for other in &others {
                add_row(&other[which][number * CHUNK..][..total.len()], total);
            }
        });
    }
    Some(total)
}
