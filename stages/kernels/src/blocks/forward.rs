//! The pass through blocks.

use super::Blocks;
use super::kept::{Keep, Kept, KeptOfBlock};
use super::parts::parts;
use crate::block::{Block, Gated};
use crate::fresh::Fresh;
use crate::layer_norm::{Moments, layer_norm_to};
use crate::matmul::{BiasSilu, InOrder, Packed, Right, fill};
use crate::parallel::*;
use crate::shared::Shared;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Up to this many rows read the weights where they are.
const FEW: usize = 16;

impl Blocks<'_> {
    /// `h` [rows, width] -> out [rows, width].
    pub fn forward(&self, h: &[f32]) -> Vec<f32> {
        self.forward_keeping(h, Keep::Nothing).0
    }

    /// As [`Self::forward`], also returning what [`Self::gradient`] needs.
    pub fn forward_keeping(&self, h: &[f32], keep: Keep) -> (Vec<f32>, Kept) {
        let mut kept = Kept {
            keep,
            inputs: Vec::new(),
            blocks: Vec::new(),
        };
        let mut out: Option<Vec<f32>> = None;
        for blocks in self.0.chunks(self.at_once()) {
            let from = out.as_deref().unwrap_or(h);
            let (outs, of_blocks) = through(blocks, from, keep);
            if keep != Keep::Nothing {
                kept.inputs.extend(out.take());
            }
            kept.blocks.extend(of_blocks);
            for next in outs {
                if let Some(before) = out.replace(next).filter(|_| keep != Keep::Nothing) {
                    kept.inputs.push(before);
                }
            }
        }
        (out.expect("a block or more"), kept)
    }
}

/// The outputs of all `blocks`, or of the last one if nothing is kept, and what they keep.
fn through(blocks: &[Block], h: &[f32], keep: Keep) -> (Vec<Vec<f32>>, Vec<KeptOfBlock>) {
    let width = blocks[0].width();
    let weights = blocks.iter().flat_map(|block| [block.w1, block.w2]);
    let weights: Vec<_> = weights.map(|weights| blocks[0].square(weights)).collect();
    match h.len() <= FEW * width {
        true => pass(blocks, &weights, h, keep),
        false => {
            let packed = Packed::all(&weights);
            pass(blocks, &packed.iter().collect::<Vec<_>>(), h, keep)
        }
    }
}

/// The pass with both weights of each block as `weights`.
fn pass<R: Right>(
    blocks: &[Block],
    weights: &[R],
    h: &[f32],
    keep: Keep,
) -> (Vec<Vec<f32>>, Vec<KeptOfBlock>) {
    let width = blocks[0].width();
    let rows = h.len() / width;
    let last = blocks.len() - 1;
    let room = |number| Room::new(rows, width, keep, keep != Keep::Nothing || number == last);
    let mut rooms: Vec<Room> = (0..blocks.len()).map(room).collect();
    let shared: Vec<SharedRoom> = rooms.iter_mut().map(Room::shared).collect();
    let parts = parts(rows, blocks[0].rows_per_group(rows), 1);
    Numbers(parts.len()).for_each(|number| {
        let part = &parts[number];
        let mut h = &h[part.start * width..part.end * width];
        let mut spare; // the last output, if it is not kept
        for (block, (weights, room)) in blocks.iter().zip(weights.chunks(2).zip(&shared)) {
            let mut local = Fresh::new(0);
            let out = of_part(room.out, width, part, &mut local);
            block
                .of_rows(rows, part)
                .pass(h, [weights[0], weights[1]], room, part, out);
            h = match room.out.is_empty() {
                true => {
                    // SAFETY: the pass has written all of it.
                    spare = unsafe { local.written() };
                    &spare
                }
                // SAFETY: as above.
                false => unsafe { written(room.out.within(part.start * width, h.len()), h.len()) },
            };
        }
    });
    // SAFETY: those that are not empty are written by the parts, which cover the rows.
    let (outs, kept): (Vec<_>, Vec<_>) = rooms
        .into_iter()
        .map(|room| unsafe { room.written() })
        .unzip();
    (
        outs.into_iter().filter(|out| !out.is_empty()).collect(),
        kept,
    )
}

impl Block<'_> {
    /// Takes the rows `h` of a `part` through the block with weights `w1` and `w2`, to `out` and `room`.
    fn pass<R: Right>(
        &self,
        h: &[f32],
        [w1, w2]: [R; 2],
        room: &SharedRoom,
        part: &Range<usize>,
        out: Shared<MaybeUninit<f32>>,
    ) {
        let width = self.width();
        let [mut local_u, mut local_activation] = [Fresh::new(0), Fresh::new(0)];
        let u = of_part(room.u, width, part, &mut local_u);
        let activation = of_part(room.activation, width, part, &mut local_activation);
        let [slope, z] = [room.slope, room.z].map(|all| {
            // SAFETY: each part has its own rows.
            (!all.is_empty()).then(|| unsafe { all.within(part.start * width, h.len()) })
        });
        // SAFETY: as above.
        let moments = unsafe { room.moments.within(part.start, part.len()) };
        layer_norm_to(self.norm(part.len()), h, u, moments);
        // SAFETY: the norm has written all of it.
        let u = unsafe { written(u, h.len()) };
        let first = BiasSilu {
            bias: self.b1,
            slope,
        };
        fill(self.rows(u), w1, activation, InOrder, &first);
        // SAFETY: the product has written all of it.
        let activation = unsafe { written(activation, h.len()) };
        let second = Gated {
            bias: self.b2,
            h,
            modulation: self.modulation,
            rows_per_group: self.rows_per_group(part.len()),
            z,
        };
        fill(self.rows(activation), w2, out, InOrder, &second);
    }
}

/// The rows of a `part` of a buffer, or all of `local`, made as long, if the buffer is empty.
fn of_part<'a>(
    all: Shared<'a, MaybeUninit<f32>>,
    width: usize,
    part: &Range<usize>,
    local: &'a mut Fresh,
) -> Shared<'a, MaybeUninit<f32>> {
    let count = part.len() * width;
    match all.is_empty() {
        true => {
            *local = Fresh::new(count);
            Shared::new(local.room())
        }
        // SAFETY: each part has its own rows.
        false => unsafe { all.within(part.start * width, count) },
    }
}

/// # Safety
/// All `count` values must have been written, and nothing may write to them any more.
unsafe fn written<'a>(values: Shared<'a, MaybeUninit<f32>>, count: usize) -> &'a [f32] {
    // SAFETY: required of the caller.
    unsafe { values.part(0, count).assume_init_ref() }
}

/// The buffers of a block's pass, each [rows, width]; those that are not needed are empty.
struct Room {
    out: Fresh,
    moments: Vec<Moments>,
    u: Fresh,
    activation: Fresh,
    slope: Fresh,
    z: Fresh,
}

/// See [`Room`].
struct SharedRoom<'a> {
    out: Shared<'a, MaybeUninit<f32>>,
    moments: Shared<'a, Moments>,
    u: Shared<'a, MaybeUninit<f32>>,
    activation: Shared<'a, MaybeUninit<f32>>,
    slope: Shared<'a, MaybeUninit<f32>>,
    z: Shared<'a, MaybeUninit<f32>>,
}

impl Room {
    fn new(rows: usize, width: usize, keep: Keep, out: bool) -> Self {
        let fresh = |wanted| Fresh::new(if wanted { rows * width } else { 0 });
        let all = keep == Keep::ForAll;
        Self {
            out: fresh(out),
            moments: vec![Moments::default(); rows],
            u: fresh(all),
            activation: fresh(all),
            slope: fresh(keep != Keep::Nothing),
            z: fresh(all),
        }
    }

    fn shared(&mut self) -> SharedRoom<'_> {
        SharedRoom {
            out: Shared::new(self.out.room()),
            moments: Shared::new(&mut self.moments),
            u: Shared::new(self.u.room()),
            activation: Shared::new(self.activation.room()),
            slope: Shared::new(self.slope.room()),
            z: Shared::new(self.z.room()),
        }
    }

    /// # Safety
    /// All buffers must have been written.
    unsafe fn written(self) -> (Vec<f32>, KeptOfBlock) {
        // SAFETY: required of the caller.
        unsafe {
            let kept = KeptOfBlock {
                moments: self.moments,
                u: self.u.written(),
                activation: self.activation.written(),
                slope: self.slope.written(),
                z: self.z.written(),
            };
            (self.out.written(), kept)
        }
    }
}
