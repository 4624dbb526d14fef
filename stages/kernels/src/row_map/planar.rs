//! Planar steps.

use super::lanes::{add_scaled, dot};
use super::rows::Rows;
use crate::activation::{logistic, softplus, tanh};
use crate::level::for_each_level;

/// Added to `|w|^2`, to avoid division by zero.
const LEAST_SQUARE: f32 = 1e-12;

/// The numbers of a step.
struct Step<'a> {
    u: &'a [f32],
    w: &'a [f32],
    /// `w . u`.
    product: f32,
    /// `|w|^2`.
    square: f32,
    /// softplus(w . u).
    least: f32,
    /// `u' = u + missing w`.
    missing: f32,
    /// `tanh(w . z + b)`.
    h: f32,
}

impl<'a> Step<'a> {
    /// From u, w and b in one piece, at `z`.
    #[inline(always)]
    fn new(given: &'a [f32], z: &[f32]) -> Self {
        let (u, rest) = given.split_at(z.len());
        let (w, b) = rest.split_at(z.len());
        let (product, square) = (dot(w, u), dot(w, w) + LEAST_SQUARE);
        let least = softplus(product);
        Self {
            u,
            w,
            product,
            square,
            least,
            missing: (least - 1.0 - product) / square,
            h: tanh(dot(w, z) + b[0]),
        }
    }

    #[inline(always)]
    fn determinant(&self) -> f32 {
        let square = self.h * self.h;
        square + (1.0 - square) * self.least
    }

    #[inline(always)]
    fn apply(&self, z: &mut [f32]) {
        for ((z, u), w) in z.iter_mut().zip(self.u).zip(self.w) {
            *z += (u + self.missing * w) * self.h;
        }
    }

    /// Turns `dz`, the gradient of the image of `z`, into that of `z`, and writes those of u, w and b; `dlog` is that
    /// of the log-determinant.
    #[inline(always)]
    fn back(&self, z: &[f32], dlog: f32, dz: &mut [f32], dgiven: &mut [f32]) {
        let (du, rest) = dgiven.split_at_mut(z.len());
        let (dw, db) = rest.split_at_mut(z.len());
        let (h, bent) = (self.h, 1.0 - self.h * self.h);
        let of_determinant = dlog / self.determinant();
        let (dz_u, dz_w) = (dot(dz, self.u), dot(dz, self.w));
        let dh = dz_u + self.missing * dz_w + of_determinant * 2.0 * h * (1.0 - self.least);
        let dmissing = h * dz_w / self.square;
        let dleast = of_determinant * bent + dmissing;
        let dproduct = dleast * logistic(self.product) - dmissing;
        let dsquare = -dmissing * self.missing;
        let dargument = dh * bent;
        db[0] = dargument;
        for i in 0..z.len() {
            du[i] = h * dz[i] + dproduct * self.w[i];
            dw[i] = h * self.missing * dz[i]
                + dproduct * self.u[i]
                + 2.0 * dsquare * self.w[i]
                + dargument * z[i];
        }
        add_scaled(dz, dargument, self.w);
    }
}

for_each_level! {
    pub(super) fn forward(rows: Rows<'_>, out: &mut [f32]) {
        for ((z, given), out) in rows.each().zip(out.chunks_exact_mut(rows.size + 1)) {
            let (moved, log) = out.split_at_mut(rows.size);
            moved.copy_from_slice(z);
            for given in given.chunks_exact(2 * rows.size + 1) {
                let step = Step::new(given, moved);
                step.apply(moved);
                log[0] += step.determinant().ln();
            }
        }
    }
}

for_each_level! {
    pub(super) fn backward(rows: Rows<'_>, dout: &[f32], dz: &mut [f32], dgiven: &mut [f32]) {
        let (size, each) = (rows.size, 2 * rows.size + 1);
        // z before each step
        let mut before = vec![0.0; rows.count / each * size + size];
        let gradients = dout.chunks_exact(size + 1).zip(dz.chunks_exact_mut(size));
        let gradients = gradients.zip(dgiven.chunks_exact_mut(rows.count));
        for ((z, given), ((dout, dz), dgiven)) in rows.each().zip(gradients) {
            before[..size].copy_from_slice(z);
            for (number, given) in given.chunks_exact(each).enumerate() {
                let (z, after) = before[number * size..].split_at_mut(size);
                after[..size].copy_from_slice(z);
                Step::new(given, z).apply(&mut after[..size]);
            }
            dz.copy_from_slice(&dout[..size]);
            let steps = given.chunks_exact(each).zip(dgiven.chunks_exact_mut(each));
            for (number, (given, dgiven)) in steps.enumerate().rev() {
                let z = &before[number * size..][..size];
                Step::new(given, z).back(z, dout[size], dz, dgiven);
            }
        }
    }
}
