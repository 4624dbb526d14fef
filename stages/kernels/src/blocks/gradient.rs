//! Gradients of blocks.

use super::Blocks;
use super::kept::{Keep, Kept, KeptOfBlock};
use super::parts::parts;
use crate::block::{Block, BlockGradient, TimesSlope};
use crate::fresh::Fresh;
use crate::layer_norm::{Moments, layer_norm_gradient_to, side_by_side};
use crate::matmul::{InOrder, Matrix, Packed, Plain, fill, matmul};
use crate::parallel::*;
use crate::segments::{SEGMENT, SegmentSums, add_row};
use crate::shared::Shared;
use std::mem::MaybeUninit;

/// Bytes of gradients inside of blocks that are packed at once for the gradients of weights.
const PACKED_AT_ONCE: usize = 16 << 20;

impl Blocks<'_> {
    /// The gradient with respect to `h`, given the gradient `dout` of the output; and the others of each block if they
    /// were kept for.
    ///
    /// # Panics
    /// If nothing was kept.
    pub fn gradient(&self, h: &[f32], kept: Kept, dout: &[f32]) -> (Vec<f32>, Vec<BlockGradient>) {
        assert!(kept.keep != Keep::Nothing, "a pass that kept nothing");
        let all = kept.keep == Keep::ForAll;
        let inside = 2 * size_of_val(h);
        let at_once = match all {
            true => (PACKED_AT_ONCE / inside.max(1)).clamp(1, self.at_once()),
            false => self.at_once(),
        };
        let Kept {
            mut inputs,
            blocks: mut kept,
            ..
        } = kept;
        let mut gradients = Vec::new();
        let mut dout = std::borrow::Cow::Borrowed(dout);
        let mut end = self.0.len();
        while end > 0 {
            let start = end.saturating_sub(at_once);
            let blocks = &self.0[start..end];
            let mut kept = kept.split_off(start);
            let own = inputs.split_off(start.saturating_sub(1));
            let inputs: Vec<&[f32]> = match start {
                0 => std::iter::once(h)
                    .chain(own.iter().map(Vec::as_slice))
                    .collect(),
                _ => own.iter().map(Vec::as_slice).collect(),
            };
            let dh = match all {
                true => {
                    let (dh, of_blocks) = all_gradients(blocks, &inputs, kept, &dout);
                    gradients.extend(of_blocks.into_iter().rev());
                    dh
                }
                false => back(blocks, &inputs, &mut kept, &dout, None),
            };
            dout = dh.into();
            end = start;
        }
        gradients.reverse();
        (dout.into_owned(), gradients)
    }
}

/// Sums over segments of a block: for its gate, and for its norm.
struct Sums {
    gate: SegmentSums,
    norm: SegmentSums,
}

/// The gradient with respect to the first of `inputs`. If `sums` are given, adds to them, and replaces what is kept of
/// z by the gradient with respect to it, and of the slope by the gradient with respect to W1 u + b1.
fn back(
    blocks: &[Block],
    inputs: &[&[f32]],
    kept: &mut [KeptOfBlock],
    dout: &[f32],
    mut sums: Option<&mut [Sums]>,
) -> Vec<f32> {
    let width = blocks[0].width();
    let rows = dout.len() / width;
    let turned = |weights| blocks[0].square(weights).transposed();
    let weights: Vec<_> = blocks
        .iter()
        .flat_map(|block| [turned(block.w1), turned(block.w2)])
        .collect();
    let weights = Packed::all(&weights);
    let per_group = blocks[0].rows_per_group(rows);
    let segments = blocks[0].norm(rows).segments(rows);
    let unit = if sums.is_some() { SEGMENT } else { 1 };
    let parts = parts(rows, per_group, unit);
    let kept: Vec<_> = (kept.iter_mut())
        .map(|kept| {
            (
                &kept.moments,
                Shared::new(&mut kept.slope),
                Shared::new(&mut kept.z),
            )
        })
        .collect();
    let sums: Option<Vec<_>> = sums.as_mut().map(|sums| {
        (sums.iter_mut())
            .map(|sums| [sums.gate.shared(), sums.norm.shared()])
            .collect()
    });
    let mut dh = Fresh::new(dout.len());
    let room = Shared::new(dh.room());
    Numbers(parts.len()).for_each(|number| {
        let part = &parts[number];
        let (at, count) = (part.start * width, part.len() * width);
        let mut of_out = std::borrow::Cow::Borrowed(&dout[at..at + count]);
        for i in (0..blocks.len()).rev() {
            let (moments, slope, z) = &kept[i];
            // SAFETY: each part has its own rows and segments.
            let given = unsafe {
                Given {
                    h: &inputs[i][at..at + count],
                    moments: &moments[part.clone()],
                    slope: slope.part(at, count),
                    z_and_sums: sums.as_ref().map(|sums| {
                        let (first, end) = (segments.at(part.start), segments.at(part.end));
                        let mine = |all: [_; 2]| {
                            all.map(|sums: Shared<'_>| {
                                sums.within(first * width, (end - first) * width)
                            })
                        };
                        (z.part(at, count), mine(sums[i][0]), mine(sums[i][1]))
                    }),
                }
            };
            let weights = [&weights[2 * i], &weights[2 * i + 1]];
            let mut local = Fresh::new(if i > 0 { count } else { 0 });
            let to = match i {
                // SAFETY: as above.
                0 => unsafe { room.within(at, count) },
                _ => Shared::new(local.room()),
            };
            blocks[i]
                .of_rows(rows, part)
                .back(given, weights, &of_out, to);
            if i > 0 {
                // SAFETY: written in full.
                of_out = unsafe { local.written() }.into();
            }
        }
    });
    // SAFETY: the parts cover the rows.
    unsafe { dh.written() }
}

/// What the gradient of a part needs.
struct Given<'a> {
    h: &'a [f32],
    moments: &'a [Moments],
    slope: &'a mut [f32],
    /// Value before the gate, and sums of gate and norm.
    z_and_sums: Option<(&'a mut [f32], [Shared<'a>; 2], [Shared<'a>; 2])>,
}

impl Block<'_> {
    /// Writes the gradient of a part of the rows to `dh`, with the transposed weights; see [`back`].
    fn back(
        &self,
        given: Given,
        [w1, w2]: [&Packed; 2],
        dout: &[f32],
        dh: Shared<MaybeUninit<f32>>,
    ) {
        let (width, rows) = (self.width(), given.moments.len());
        let mut local;
        let gate = self.gate(rows);
        let (dz, of_norm) = match given.z_and_sums {
            Some((z, of_gate, of_norm)) => {
                gate.through_with_sums(dout, z, of_gate);
                (&*z, Some(of_norm))
            }
            None => {
                local = Fresh::new(dout.len());
                gate.through(dout, local.room());
                // SAFETY: written in full.
                (unsafe { local.room().assume_init_ref() }, None)
            }
        };
        let through = TimesSlope {
            slope: given.slope,
            width,
            rows_per_point: 1,
        };
        let da = matmul(self.rows(dz), w2, &through);
        let du = matmul(self.rows(&da), w1, &Plain);
        if of_norm.is_some() {
            given.slope.copy_from_slice(&da);
        }
        let (h, moments) = (given.h, given.moments);
        layer_norm_gradient_to(self.norm(rows), h, moments, &du, Some(dout), dh, of_norm);
    }
}

/// All gradients: with respect to the first of `inputs`, and those of each block. Products over all rows are taken at
/// once, so that their sums do not depend on the parts.
fn all_gradients(
    blocks: &[Block],
    inputs: &[&[f32]],
    mut kept: Vec<KeptOfBlock>,
    dout: &[f32],
) -> (Vec<f32>, Vec<BlockGradient>) {
    let width = blocks[0].width();
    let rows = dout.len() / width;
    let zeros = || SegmentSums::new(blocks[0].norm(rows).segments(rows), width);
    let mut sums: Vec<Sums> = (blocks.iter())
        .map(|_| Sums {
            gate: zeros(),
            norm: zeros(),
        })
        .collect();
    let dh = back(blocks, inputs, &mut kept, dout, Some(&mut sums));

    // W1 from u and the gradient of W1 u + b1, W2 from the activation and the gradient of z
    let of_inside: Vec<Matrix> = (kept.iter())
        .flat_map(|kept| [blocks[0].rows(&kept.slope), blocks[0].rows(&kept.z)])
        .collect();
    let packed = Packed::all(&of_inside);
    let inside: Vec<&[f32]> = kept
        .iter()
        .flat_map(|kept| [&kept.u[..], &kept.activation])
        .collect();
    let mut weights: Vec<Fresh> = inside.iter().map(|_| Fresh::new(width * width)).collect();
    let rooms: Vec<_> = weights
        .iter_mut()
        .map(|weights| Shared::new(weights.room()))
        .collect();
    let mut others: Vec<Option<Others>> = blocks.iter().map(|_| None).collect();
    let of_others = Shared::new(&mut others);
    let mut sums: Vec<Option<Sums>> = sums.into_iter().map(Some).collect();
    let of_sums = Shared::new(&mut sums);

    let piece = if width < 1024 { ROWS / 2 } else { ROWS };
    let pieces = width.div_ceil(piece);
    let products = inside.len() * pieces;
    Numbers(products + blocks.len()).for_each(|task| match task.checked_sub(products) {
        None => {
            let (number, first) = (task / pieces, task % pieces * piece);
            let count = piece.min(width - first);
            let columns = Matrix::of_columns(&inside[number][first..], count, rows, width);
            // SAFETY: each task has its own rows of the product.
            let to = unsafe { rooms[number].within(first * width, count * width) };
            fill(columns, &packed[number], to, InOrder, &Plain);
        }
        Some(number) => {
            // SAFETY: each block is finished by one task.
            let (other, sums) = unsafe { (of_others.part(number, 1), of_sums.part(number, 1)) };
            let sums = sums[0].take().expect("taken once");
            other[0] = Some(Others::new(&blocks[number], sums, &kept[number].slope));
        }
    });
    // SAFETY: the pieces cover the products.
    let mut weights = weights
        .into_iter()
        .map(|weights| unsafe { weights.written() });
    let mut next = || weights.next().expect("two of each block");
    let gradients = others.into_iter().map(|others| {
        let Others {
            modulation,
            gamma,
            beta,
            b1,
            b2,
        } = others.expect("a task of each block");
        BlockGradient {
            modulation,
            gamma,
            beta,
            w1: next(),
            b1,
            w2: next(),
            b2,
        }
    });
    let gradients = gradients.collect();
    (dh, gradients)
}

/// Gradients of a block except those of matrices.
struct Others {
    modulation: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    b1: Vec<f32>,
    b2: Vec<f32>,
}

impl Others {
    /// From sums over segments, and the gradient `da` of W1 u + b1.
    fn new(block: &Block, sums: Sums, da: &[f32]) -> Self {
        let width = block.width();
        let rows = da.len() / width;
        let gate = block.gate(rows).gradient(sums.gate);
        let norm = block.norm(rows).gradient(sums.norm);
        let mut b1 = vec![0.0; width];
        for rows in da.chunks(ROWS * width) {
            let mut sum = vec![0.0; width];
            rows.chunks_exact(width)
                .for_each(|row| add_row(row, &mut sum));
            add_row(&sum, &mut b1);
        }
        Self {
            modulation: side_by_side([&norm.shift, &norm.scale, &gate.gate], width),
            gamma: norm.gamma,
            beta: norm.beta,
            b1,
            b2: gate.bias,
        }
    }
}
