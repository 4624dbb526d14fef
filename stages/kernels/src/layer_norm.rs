//! Layer norm with modulation, `u = (1 + scale) * (gamma * unit(x) + beta) + shift`, and the gate of a
//! residual block, forward and backward and along tangents.
//!
//! Rows come in groups that share shift, scale and gate. Sums over the rows of a group are taken in
//! segments of 64 rows.

use crate::fresh::Fresh;
use crate::level::for_each_level;
use crate::parallel::*;
use crate::shared::Shared;
use crate::tangents::Tangents;
use std::mem::MaybeUninit;

/// Rows per partial sum.
const SEGMENT: usize = 64;
/// Minimum number of rows per task.
const TASK: usize = 16;

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

    fn segments(&self, rows: usize) -> Segments {
        Segments::new(rows, self.rows_per_group)
    }
}

/// Rows split into segments that do not cross groups.
#[derive(Clone, Copy)]
struct Segments {
    rows_per_group: usize,
    per_group: usize,
    count: usize,
}

impl Segments {
    fn new(rows: usize, rows_per_group: usize) -> Self {
        let per_group = rows_per_group.div_ceil(SEGMENT);
        assert_eq!(rows % rows_per_group, 0, "groups differ in size");
        Self {
            rows_per_group,
            per_group,
            count: rows / rows_per_group * per_group,
        }
    }

    /// A segment's group, first row and number of rows.
    #[inline(always)]
    fn get(self, segment: usize) -> (usize, usize, usize) {
        let (group, part) = (segment / self.per_group, segment % self.per_group);
        let first = part * SEGMENT;
        let rows = SEGMENT.min(self.rows_per_group - first);
        (group, group * self.rows_per_group + first, rows)
    }

    /// Runs `task` on ranges of segments.
    fn for_each(self, task: impl Fn(std::ops::Range<usize>) + Sync) {
        let at_once = (TASK / self.rows_per_group.min(SEGMENT)).max(1);
        Numbers(self.count.div_ceil(at_once))
            .for_each(|i| task(i * at_once..((i + 1) * at_once).min(self.count)));
    }

    /// Adds sums over segments [count, width] to sums over groups.
    fn to_groups(self, sums: Vec<f32>, width: usize) -> Vec<f32> {
        if self.per_group == 1 {
            return sums;
        }
        let mut groups = vec![0.0; self.count / self.per_group * width];
        for (group, parts) in groups
            .chunks_mut(width)
            .zip(sums.chunks(self.per_group * width))
        {
            for part in parts.chunks(width) {
                add_row(part, group);
            }
        }
        groups
    }
}

/// `x` [rows, width] -> `u` [rows, width], and the moments of each row.
pub fn layer_norm(norm: LayerNorm, x: &[f32]) -> (Vec<f32>, Vec<Moments>) {
    let rows = x.len() / norm.width;
    let segments = norm.segments(rows);
    let mut u = Fresh::new(rows * norm.width);
    let mut moments = vec![Moments::default(); rows];
    let (to, of_rows) = (Shared::new(u.room()), Shared::new(&mut moments));
    segments.for_each(|range| {
        for_each_row(norm, segments, range, x, to, of_rows);
    });
    // SAFETY: the segments cover the rows, and each row is written in full.
    return (unsafe { u.written() }, moments);

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
    let width = norm.width;
    let segments = norm.segments(moments.len());
    let mut of_x = Fresh::new(moments.len() * width);
    let kept = if wanted { segments.count * width } else { 0 };
    let (mut plain, mut along) = (vec![0.0; kept], vec![0.0; kept]);
    let (plain_out, along_out) = (Shared::new(&mut plain), Shared::new(&mut along));
    let dx = Shared::new(of_x.room());
    segments.for_each(|range| {
        rows(
            norm, segments, range, x, moments, du, residual, dx, wanted, plain_out, along_out,
        );
    });
    // SAFETY: the segments cover the rows, and each row is written in full.
    let of_x = unsafe { of_x.written() };

    for_each_level! {
        fn rows(
            norm: LayerNorm, segments: Segments, range: std::ops::Range<usize>, x: &[f32],
            moments: &[Moments], du: &[f32], residual: Option<&[f32]>,
            dx: Shared<MaybeUninit<f32>>, wanted: bool, plain: Shared, along: Shared,
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
                    if wanted {
                        // SAFETY: sums of this segment.
                        let (plain, along) = unsafe {
                            (plain.part(segment * width, width), along.part(segment * width, width))
                        };
                        for i in 0..width {
                            plain[i] += du[i];
                            along[i] += du[i] * ((x[i] - mean) * inverse);
                        }
                    }
                }
            }
        }
    }

    if !wanted {
        return (of_x, None);
    }
    let shift = segments.to_groups(plain, width);
    let mut scale = segments.to_groups(along, width);
    let (mut gamma, mut beta) = (vec![0.0; width], vec![0.0; width]);
    if let Some((of_gamma, of_beta)) = norm.weights {
        for group in 0..shift.len() / width {
            let (_, scale_of) = norm.of_group(group);
            let shift = &shift[group * width..][..width];
            let scale = &mut scale[group * width..][..width];
            for i in 0..width {
                gamma[i] += (1.0 + scale_of[i]) * scale[i];
                beta[i] += (1.0 + scale_of[i]) * shift[i];
                scale[i] = of_gamma[i] * scale[i] + of_beta[i] * shift[i];
            }
        }
    }
    let others = NormGradient {
        shift,
        scale,
        gamma,
        beta,
    };
    (of_x, Some(others))
}

/// Gradients of a gate.
pub struct GateGradient {
    /// Of the gate of each group [groups, width].
    pub gate: Vec<f32>,
    /// Of a bias added before the gate, `[width]`.
    pub bias: Vec<f32>,
}

/// Gradient `gate * dout` of `gate * z` with respect to `z`, for rows in groups of `rows_per_group`. The
/// gate of a group is at `modulation[group * stride + offset..]`. If `z` is given, also the gradients of
/// gate and bias.
pub fn gate_gradient(
    width: usize,
    rows_per_group: usize,
    (modulation, stride, offset): (&[f32], usize, usize),
    z: Option<&[f32]>,
    dout: &[f32],
) -> (Vec<f32>, Option<GateGradient>) {
    let rows = dout.len() / width;
    let segments = Segments::new(rows, rows_per_group);
    let mut of_z = Fresh::new(rows * width);
    let kept = if z.is_some() {
        segments.count * width
    } else {
        0
    };
    let (mut plain, mut along) = (vec![0.0; kept], vec![0.0; kept]);
    let (plain_out, along_out) = (Shared::new(&mut plain), Shared::new(&mut along));
    let dz = Shared::new(of_z.room());
    segments.for_each(|range| {
        for segment in range {
            let (group, first, rows) = segments.get(segment);
            let gate = &modulation[group * stride + offset..][..width];
            for row in first..first + rows {
                let at = row * width;
                // SAFETY: each row is in one segment.
                let dz = unsafe { dz.part(at, width) };
                let sums = z.map(|z| {
                    // SAFETY: sums of this segment.
                    let sums = unsafe {
                        (
                            plain_out.part(segment * width, width),
                            along_out.part(segment * width, width),
                        )
                    };
                    (&z[at..at + width], sums.0, sums.1)
                });
                gate_row(gate, &dout[at..at + width], dz, sums);
            }
        }
    });

    for_each_level! {
        fn gate_row(
            gate: &[f32], dout: &[f32], dz: &mut [MaybeUninit<f32>],
            sums: Option<(&[f32], &mut [f32], &mut [f32])>,
        ) {
            let width = gate.len();
            let (dout, dz) = (&dout[..width], &mut dz[..width]);
            match sums {
                None => {
                    for i in 0..width {
                        dz[i].write(gate[i] * dout[i]);
                    }
                }
                Some((z, plain, along)) => {
                    let (z, plain, along) = (&z[..width], &mut plain[..width], &mut along[..width]);
                    for i in 0..width {
                        dz[i].write(gate[i] * dout[i]);
                        plain[i] += dout[i];
                        along[i] += dout[i] * z[i];
                    }
                }
            }
        }
    }

    // SAFETY: the segments cover the rows, and each row is written in full.
    let of_z = unsafe { of_z.written() };
    if z.is_none() {
        return (of_z, None);
    }
    let plain = segments.to_groups(plain, width);
    let mut bias = vec![0.0; width];
    for (group, sums) in plain.chunks(width).enumerate() {
        let gate = &modulation[group * stride + offset..][..width];
        for i in 0..width {
            bias[i] += gate[i] * sums[i];
        }
    }
    let others = GateGradient {
        gate: segments.to_groups(along, width),
        bias,
    };
    (of_z, Some(others))
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

for_each_level! {
    /// `sums += row`.
    pub(crate) fn add_row(row: &[f32], sums: &mut [f32]) {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += x;
        }
    }
}

/// The sum of the rows of `x` [rows, columns], by segments.
pub fn sum_of_rows(x: &[f32], columns: usize) -> Vec<f32> {
    let segments: Vec<Vec<f32>> = x
        .par_chunks((SEGMENT * columns).max(1))
        .map(|rows| {
            let mut sums = vec![0.0; columns];
            for row in rows.chunks_exact(columns) {
                add_row(row, &mut sums);
            }
            sums
        })
        .collect();
    let mut total = vec![0.0; columns];
    for sums in segments {
        add_row(&sums, &mut total);
    }
    total
}
