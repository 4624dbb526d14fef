//! The gate of a residual block, `gate * z` for rows in groups that share a gate, backward.

use crate::level::for_each_level;
use crate::segments::{SegmentSums, Segments};
use crate::shared::Shared;
use std::mem::MaybeUninit;

/// Gates of groups of rows.
#[derive(Clone, Copy)]
pub(crate) struct Gate<'a> {
    pub(crate) width: usize,
    pub(crate) rows_per_group: usize,
    /// The gate of a group is at `modulation[group * stride + offset..]`.
    pub(crate) modulation: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) offset: usize,
}

/// Gradients of a gate.
pub(crate) struct GateGradient {
    /// Of the gate of each group [groups, width].
    pub(crate) gate: Vec<f32>,
    /// Of a bias added before the gate, `[width]`.
    pub(crate) bias: Vec<f32>,
}

impl<'a> Gate<'a> {
    #[inline(always)]
    fn of_group(&self, group: usize) -> &'a [f32] {
        &self.modulation[group * self.stride + self.offset..][..self.width]
    }

    /// Writes `gate * dout`, the gradient with respect to z, to `dz`, both [rows, width].
    pub(crate) fn through(&self, dout: &[f32], dz: &mut [MaybeUninit<f32>]) {
        let rows = dout
            .chunks_exact(self.width)
            .zip(dz.chunks_exact_mut(self.width));
        for (row, (dout, dz)) in rows.enumerate() {
            times(self.of_group(row / self.rows_per_group), dout, dz);
        }

        for_each_level! {
            fn times(gate: &[f32], dout: &[f32], dz: &mut [MaybeUninit<f32>]) {
                let width = gate.len();
                let (dout, dz) = (&dout[..width], &mut dz[..width]);
                for i in 0..width {
                    dz[i].write(gate[i] * dout[i]);
                }
            }
        }
    }

    /// Replaces `z` by `gate * dout`, both [rows, width], and adds the sums over segments of dout and dout z to
    /// `sums`.
    pub(crate) fn through_with_sums(&self, dout: &[f32], z: &mut [f32], sums: [Shared; 2]) {
        let width = self.width;
        let segments = Segments::new(z.len() / width, self.rows_per_group);
        for segment in 0..segments.count {
            let (group, first, rows) = segments.get(segment);
            // SAFETY: sums of this segment.
            let [plain, along] = sums.map(|sums| unsafe { sums.part(segment * width, width) });
            for row in first..first + rows {
                let at = row * width..(row + 1) * width;
                times(
                    self.of_group(group),
                    &dout[at.clone()],
                    &mut z[at],
                    plain,
                    along,
                );
            }
        }

        for_each_level! {
            fn times(
                gate: &[f32], dout: &[f32], z: &mut [f32], plain: &mut [f32], along: &mut [f32],
            ) {
                let width = gate.len();
                let (dout, z) = (&dout[..width], &mut z[..width]);
                let (plain, along) = (&mut plain[..width], &mut along[..width]);
                for i in 0..width {
                    plain[i] += dout[i];
                    along[i] += dout[i] * z[i];
                    z[i] = gate[i] * dout[i];
                }
            }
        }
    }

    /// The gradients, from sums over segments of dout and dout z.
    pub(crate) fn gradient(&self, sums: SegmentSums) -> GateGradient {
        let [plain, gate] = sums.of_groups();
        let mut bias = vec![0.0; self.width];
        for (group, sums) in plain.chunks(self.width).enumerate() {
            let gate = self.of_group(group);
            for i in 0..self.width {
                bias[i] += gate[i] * sums[i];
            }
        }
        GateGradient { gate, bias }
    }
}
