//! The forward pass of a layer.

use super::layer::{LayerKept, PackedLayer, TransformerLayer};
use crate::activation::gelu_of;
use crate::fresh::Fresh;
use crate::matmul::{AddBias, Epilogue, InOrder, fill, matmul};
use crate::parallel::*;
use crate::shared::Shared;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Places of a part's activations, and of its output.
pub(super) struct Places<'a> {
    pub(super) qkv: &'a mut [MaybeUninit<f32>],
    pub(super) attended: &'a mut [MaybeUninit<f32>],
    pub(super) h: &'a mut [MaybeUninit<f32>],
    pub(super) inner: &'a mut [MaybeUninit<f32>],
    pub(super) out: &'a mut [MaybeUninit<f32>],
}

impl TransformerLayer<'_> {
    /// `h` [n tokens, C] -> out [n tokens, C].
    pub fn forward(&self, h: &[f32]) -> Vec<f32> {
        self.run(h, false).0
    }

    /// As [`Self::forward`], also returning what [`Self::gradient`] needs.
    pub fn forward_keeping(&self, h: &[f32]) -> (Vec<f32>, LayerKept) {
        self.run(h, true)
    }

    /// The output, and the activations, which are empty unless they are to `keep`.
    fn run(&self, h: &[f32], keep: bool) -> (Vec<f32>, LayerKept) {
        let (c, widths) = (self.channels(), self.widths());
        let (packed, (_, parts)) = (self.packed(), self.split(self.points(h)));
        let buffers = |rows: usize| widths.map(|width| Fresh::new(rows * width));
        let mut out = Fresh::new(h.len());
        let mut kept = buffers(if keep { h.len() / c } else { 0 });
        let to = Shared::new(out.room());
        let kept_to = kept.each_mut().map(|kept| Shared::new(kept.room()));
        Numbers(parts.len()).for_each(|part| {
            let rows = self.rows_of(&parts[part]);
            let mut own = buffers(if keep { 0 } else { rows.len() });
            let [mut qkv, mut attended, mut after, mut inner] = own.each_mut().map(Fresh::room);
            if keep {
                [qkv, attended, after, inner] = std::array::from_fn(|i| {
                    let width = widths[i];
                    // SAFETY: each part writes its own rows.
                    unsafe { kept_to[i].part(rows.start * width, rows.len() * width) }
                });
            }
            // SAFETY: as above.
            let out = unsafe { to.part(rows.start * c, rows.len() * c) };
            let places = Places {
                qkv,
                attended,
                h: after,
                inner,
                out,
            };
            let attend = |qkv: &[f32], out: &mut [_]| self.attention.fill(qkv, out);
            self.forward_part(&packed, h, rows, places, attend);
        });
        // SAFETY: the parts cover the rows, and each writes all of its own.
        let [qkv, attended, h, inner] = kept.map(|kept| unsafe { kept.written() });
        let kept = LayerKept {
            qkv,
            attended,
            h,
            inner,
        };
        // SAFETY: as above.
        (unsafe { out.written() }, kept)
    }

    /// The pass of some `rows` of `h` [n tokens, C]. Writes every element of `places`; `attend` every element of its
    /// output.
    pub(super) fn forward_part(
        &self,
        PackedLayer([qkv, projection, fc1, fc2]): &PackedLayer,
        h: &[f32],
        rows: Range<usize>,
        places: Places,
        attend: impl FnOnce(&[f32], &mut [MaybeUninit<f32>]),
    ) {
        let c = self.channels();
        let of_part = rows.start * c..rows.end * c;
        let h = &h[of_part.clone()];
        let residual = |bias, residual, which: usize| Residual {
            bias,
            residual,
            mask: self.dropout.map(|masks| &masks[which][of_part.clone()]),
        };
        let u = self.normed(self.norm1, h);
        let out = Shared::new(places.qkv);
        fill(
            Self::rows(&u, c),
            qkv,
            out,
            InOrder,
            &AddBias(self.qkv.bias),
        );
        // SAFETY: filled just now, here and below.
        let qkv = unsafe { places.qkv.assume_init_mut() };
        if let Some(rotation) = self.rotation {
            rotation.turn(self.attention, qkv);
        }
        attend(qkv, places.attended);
        let attended = unsafe { places.attended.assume_init_ref() };
        let after = residual(self.projection.bias, h, 0);
        fill(
            Self::rows(attended, c),
            projection,
            Shared::new(places.h),
            InOrder,
            &after,
        );
        let h = unsafe { places.h.assume_init_ref() };
        let u = self.normed(self.norm2, h);
        let gelu = BiasGelu {
            bias: self.fc1.bias,
            before: Shared::new(places.inner),
        };
        let inner = matmul(Self::rows(&u, c), fc1, &gelu);
        let after = residual(self.fc2.bias, h, 1);
        let out = Shared::new(places.out);
        fill(Self::rows(&inner, self.inner()), fc2, out, InOrder, &after);
    }
}

/// `residual + mask * (value + bias)`.
struct Residual<'a> {
    bias: &'a [f32],
    /// [rows, columns].
    residual: &'a [f32],
    mask: Option<&'a [f32]>,
}

impl Epilogue for Residual<'_> {
    #[inline(always)]
    fn finish(&self, row: usize, column: usize, values: &mut [f32]) {
        let (width, count) = (self.bias.len(), values.len());
        let place = row * width + column..row * width + column + count;
        let (bias, residual) = (&self.bias[column..][..count], &self.residual[place.clone()]);
        match self.mask {
            None => {
                for i in 0..count {
                    values[i] = residual[i] + (values[i] + bias[i]);
                }
            }
            Some(mask) => {
                let mask = &mask[place];
                for i in 0..count {
                    values[i] = residual[i] + mask[i] * (values[i] + bias[i]);
                }
            }
        }
    }
}

/// GELU of the sum with a bias; writes the sum to `before` [rows, columns].
struct BiasGelu<'a> {
    bias: &'a [f32],
    before: Shared<'a, MaybeUninit<f32>>,
}

impl Epilogue for BiasGelu<'_> {
    #[inline(always)]
    fn finish(&self, row: usize, column: usize, values: &mut [f32]) {
        let count = values.len();
        let bias = &self.bias[column..][..count];
        // SAFETY: each entry is finished once.
        let before = unsafe { self.before.part(row * self.bias.len() + column, count) };
        for i in 0..count {
            let x = values[i] + bias[i];
            before[i].write(x);
            values[i] = gelu_of(x);
        }
    }
}
