//! Layer norm with modulation, `u = (1 + scale) * (gamma * unit(x) + beta) + shift`, forward and backward
//! and along tangents.
//!
//! Rows come in groups that share shift and scale. Sums over the rows of a group are taken in segments.

use crate::fresh::Fresh;
use crate::level::for_each_level;
use crate::parallel::*;
use crate::segments::{SegmentSums, Segments};
use crate::shared::Shared;
use crate::tangents::Tangents;
use std::mem::MaybeUninit;

/// Mean and inverse standard deviation of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    pub mean: f32,
    /// `1 / sqrt(variance + epsilon)`.
    pub inverse: f32,
}

/// A modulated layer norm over rows of `width`.
#[derive(Clone, Copy)]
pub struct LayerNorm<'a> {
    /// Width of a row.
    pub width: usize,
    /// Rows that share a modulation.
    pub rows_per_group: usize,
    /// Per group: shift `[width]`, scale `[width]`, and other values up to the stride.
    pub modulation: &'a [f32],
    /// Elements per group in `modulation`.
    pub stride: usize,
    /// gamma and beta `[width]`; 1 and 0 if absent.
    pub weights: Option<(&'a [f32], &'a [f32])>,
    /// Added to the variance.
    pub epsilon: f32,
}

/// Sums in 16 lanes, so that the order of summation is the same with every instruction set.
type Lanes = [f32; 16];

#[inline(always)]
fn total(mut lanes: Lanes) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
}

/// `sum_i f(a_i, b_i)`.
#[inline(always)]
pub(crate) fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (a, a_rest) = a.as_chunks::<16>();
    let (b, b_rest) = b.as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..16 {
            lanes[i] += f(a[i], b[i]);
        }
    }
    for (i, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[i] += f(a, b);
    }
    total(lanes)
}

#[inline(always)]
fn moments_of(row: &[f32], epsilon: f32) -> Moments {
    let width = row.len() as f32;
    let mean = sum2(row, row, |a, _| a) / width;
    let variance = sum2(row, row, |a, _| (a - mean) * (a - mean)) / width;
    Moments {
        mean,
        inverse: 1.0 / (variance + epsilon).sqrt(),
    }
}

impl<'a> LayerNorm<'a> {
    /// Factor and summand of unit rows in `group`: gamma (1 + scale) and beta (1 + scale) + shift.
    #[inline(always)]
    pub(crate) fn affine(&self, group: usize, factor: &mut [f32], summand: &mut [f32]) {
        let (shift, scale) = self.of_group(group);
        match self.weights {
            Some((gamma, beta)) => {
                for i in 0..self.width {
                    factor[i] = gamma[i] * (1.0 + scale[i]);
                    summand[i] = beta[i] * (1.0 + scale[i]) + shift[i];
                }
            }
            None => {
                for i in 0..self.width {
                    factor[i] = 1.0 + scale[i];
                    summand[i] = shift[i];
                }
            }
        }
    }

    #[inline(always)]
    fn of_group(&self, group: usize) -> (&'a [f32], &'a [f32]) {
        let modulation = &self.modulation[group * self.stride..][..2 * self.width];
        modulation.split_at(self.width)
    }

    pub(crate) fn segments(&self, rows: usize) -> Segments {
        Segments::new(rows, self.rows_per_group)
    }
}

/// `x` [rows, width] -> `u` [rows, width], and the moments of each row.
pub fn layer_norm(norm: LayerNorm, x: &[f32]) -> (Vec<f32>, Vec<Moments>) {
    let mut u = Fresh::new(x.len());
    let mut moments = vec![Moments::default(); x.len() / norm.width];
    layer_norm_to(norm, x, Shared::new(u.room()), Shared::new(&mut moments));
    // SAFETY: written in full.
    (unsafe { u.written() }, moments)
}

/// As [`layer_norm`], writing all of `u` and `moments`, which nothing else may access meanwhile.
pub(crate) fn layer_norm_to(
    norm: LayerNorm,
    x: &[f32],
    u: Shared<MaybeUninit<f32>>,
    moments: Shared<Moments>,
) {
    let segments = norm.segments(x.len() / norm.width);
    segments.for_each(|range| for_each_row(norm, segments, range, x, u, moments));

    for_each_level! {
        fn for_each_row(
            norm: LayerNorm, segments: Segments, range: std::ops::Range<usize>, x: &[f32],
            u: Shared<MaybeUninit<f32>>, moments: Shared<Moments>,
        ) {
            let width = norm.width;
            let (mut factor, mut summand) = (vec![0.0; width], vec![0.0; width]);
            for segment in range {
                let (group, first, rows) = segments.get(segment);
                norm.affine(group, &mut factor, &mut summand);
                for row in first..first + rows {
                    let x = &x[row * width..][..width];
                    let of_row = moments_of(x, norm.epsilon);
                    // SAFETY: each row is in one segment.
                    let (u, moments) = unsafe { (u.part(row * width, width), moments.part(row, 1)) };
                    moments[0] = of_row;
                    for i in 0..width {
                        u[i].write((x[i] - of_row.mean) * of_row.inverse * factor[i] + summand[i]);
                    }
                }
            }
        }
    }
}

/// The moments of the rows of `x` [rows, width], as [`layer_norm`] computes them.
pub fn moments(norm: LayerNorm, x: &[f32]) -> Vec<Moments> {
    return (x.par_chunks(norm.width))
        .map(|row| {
            let mut moments = Moments::default();
            of_row(row, norm.epsilon, &mut moments);
            moments
        })
        .collect();

    for_each_level! {
        fn of_row(row: &[f32], epsilon: f32, moments: &mut Moments) {
            *moments = moments_of(row, epsilon);
        }
    }
}

/// Concatenates rows [n, width] of several matrices: [n, N width].
pub fn side_by_side<const N: usize>(parts: [&[f32]; N], width: usize) -> Vec<f32> {
    let mut all = Vec::with_capacity(N * parts[0].len());
    for start in (0..parts[0].len()).step_by(width) {
        for part in parts {
            all.extend_from_slice(&part[start..start + width]);
        }
    }
    all
}

/// Gradients of the modulation and weights of a [`LayerNorm`].
pub struct NormGradient {
    /// Of the shift of each group [groups, width].
    pub shift: Vec<f32>,
    /// Of the scale of each group [groups, width].
    pub scale: Vec<f32>,
    /// Of gamma `[width]`.
    pub gamma: Vec<f32>,
    /// Of beta `[width]`.
    pub beta: Vec<f32>,
}

/// The gradient with respect to `x` of a [`layer_norm`] whose output has the gradient `du`, plus
/// `residual` if given; and the gradients of modulation and weights if `wanted`.
pub fn layer_norm_gradient(
    norm: LayerNorm,
    x: &[f32],
    moments: &[Moments],
    du: &[f32],
    residual: Option<&[f32]>,
    wanted: bool,
) -> (Vec<f32>, Option<NormGradient>) {
    let mut dx = Fresh::new(x.len());
    let room = Shared::new(dx.room());
    let mut sums = wanted.then(|| SegmentSums::new(norm.segments(moments.len()), norm.width));
    let of_sums = sums.as_mut().map(SegmentSums::shared);
    layer_norm_gradient_to(norm, x, moments, du, residual, room, of_sums);
    let others = sums.map(|sums| norm.gradient(sums));
    // SAFETY: written in full.
    (unsafe { dx.written() }, others)
}

/// As [`layer_norm_gradient`], writing all of `dx`, which nothing else may access meanwhile. Adds the sums over
/// segments of du and du unit(x) to `sums`.
pub(crate) fn layer_norm_gradient_to(
    norm: LayerNorm,
    x: &[f32],
    moments: &[Moments],
    du: &[f32],
    residual: Option<&[f32]>,
    dx: Shared<MaybeUninit<f32>>,
    sums: Option<[Shared; 2]>,
) {
    let segments = norm.segments(moments.len());
    segments.for_each(|range| rows(norm, segments, range, x, moments, du, residual, dx, sums));

    for_each_level! {
        fn rows(
            norm: LayerNorm, segments: Segments, range: std::ops::Range<usize>, x: &[f32],
            moments: &[Moments], du: &[f32], residual: Option<&[f32]>,
            dx: Shared<MaybeUninit<f32>>, sums: Option<[Shared; 2]>,
        ) {
            let width = norm.width;
            let (mut factor, mut unused) = (vec![0.0; width], vec![0.0; width]);
            for segment in range {
                let (group, first, count) = segments.get(segment);
                norm.affine(group, &mut factor, &mut unused);
                for row in first..first + count {
                    let (x, du) = (&x[row * width..][..width], &du[row * width..][..width]);
                    let Moments { mean, inverse } = moments[row];
                    // dx = (g - mean(g) - unit mean(g unit)) / std with g = du factor
                    let (mut sum, mut product) = ([0.0f32; 16], [0.0f32; 16]);
                    for start in (0..width).step_by(16) {
                        let end = (start + 16).min(width);
                        for i in start..end {
                            let g = du[i] * factor[i];
                            sum[i - start] += g;
                            product[i - start] += g * ((x[i] - mean) * inverse);
                        }
                    }
                    let mean_g = total(sum) / width as f32;
                    let mean_product = total(product) / width as f32;
                    // SAFETY: each row is in one segment.
                    let dx = unsafe { dx.part(row * width, width) };
                    for i in 0..width {
                        let unit = (x[i] - mean) * inverse;
                        dx[i].write((du[i] * factor[i] - mean_g - unit * mean_product) * inverse);
                    }
                    if let Some(residual) = residual {
                        let residual = &residual[row * width..][..width];
                        // SAFETY: written just now.
                        let dx = unsafe { dx.assume_init_mut() };
                        for i in 0..width {
                            dx[i] += residual[i];
                        }
                    }
                    if let Some(sums) = sums {
                        // SAFETY: sums of this segment.
                        let [plain, along] =
                            sums.map(|sums| unsafe { sums.part(segment * width, width) });
                        for i in 0..width {
                            plain[i] += du[i];
                            along[i] += du[i] * ((x[i] - mean) * inverse);
                        }
                    }
                }
            }
        }
    }
}

impl LayerNorm<'_> {
    /// The gradients of modulation and weights, from sums over segments of du and du unit(x).
    pub(crate) fn gradient(&self, sums: SegmentSums) -> NormGradient {
        let width = self.width;
        let [shift, mut scale] = sums.of_groups();
        let (mut gamma, mut beta) = (vec![0.0; width], vec![0.0; width]);
        if let Some((of_gamma, of_beta)) = self.weights {
            for group in 0..shift.len() / width {
                let (_, scale_of) = self.of_group(group);
                let shift = &shift[group * width..][..width];
                let scale = &mut scale[group * width..][..width];
                for i in 0..width {
                    gamma[i] += (1.0 + scale_of[i]) * scale[i];
                    beta[i] += (1.0 + scale_of[i]) * shift[i];
                    scale[i] = of_gamma[i] * scale[i] + of_beta[i] * shift[i];
                }
            }
        }
        NormGradient {
            shift,
            scale,
            gamma,
            beta,
        }
    }
}

/// The derivative of a [`layer_norm`] of one group along `tangents` of x: [points, tangents, width].
pub fn layer_norm_tangents(
    norm: LayerNorm,
    x: &[f32],
    moments: &[Moments],
    tangents: Tangents,
) -> Vec<f32> {
    let of_a_point = tangents.count * norm.width;
    let mut du = Fresh::new(moments.len() * of_a_point);
    (du.room()
        .par_chunks_exact_mut(of_a_point.max(1))
        .enumerate())
    .for_each(|(point, du)| {
        let dx = tangents.of_point(point, norm.width);
        let x = &x[point * norm.width..][..norm.width];
        of_point(norm, x, moments[point], dx, du);
    });
    // SAFETY: each point has as many tangents as rows of du, and each row is written in full.
    return unsafe { du.written() };

    for_each_level! {
        fn of_point(
            norm: LayerNorm, x: &[f32], moments: Moments, dx: &[f32], du: &mut [MaybeUninit<f32>],
        ) {
            let width = norm.width;
            let (mut factor, mut unit) = (vec![0.0; width], vec![0.0; width]);
            norm.affine(0, &mut factor, &mut unit);
            for i in 0..width {
                unit[i] = (x[i] - moments.mean) * moments.inverse;
                factor[i] *= moments.inverse;
            }
            for (dx, du) in dx.chunks_exact(width).zip(du.chunks_exact_mut(width)) {
                let (unit, factor) = (&unit[..width], &factor[..width]);
                let mean = sum2(dx, dx, |a, _| a) / width as f32;
                let along = sum2(dx, unit, |a, b| a * b) / width as f32;
                for i in 0..width {
                    du[i].write((dx[i] - mean - unit[i] * along) * factor[i]);
                }
            }
        }
    }
}
