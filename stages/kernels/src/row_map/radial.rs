//! Radial steps.

use super::lanes::dot;
use super::rows::Rows;
use crate::activation::{logistic, softplus};
use crate::level::for_each_level;

/// Added to `r^2`, since the square root has no derivative at 0.
const LEAST_SQUARE: f32 = 1e-12;

/// The numbers of a step.
struct Step<'a> {
    centre: &'a [f32],
    /// a and b.
    given: &'a [f32],
    alpha: f32,
    /// softplus(b).
    least: f32,
    /// `|z - c|`.
    r: f32,
    /// `1 + beta h`.
    across: f32,
}

impl<'a> Step<'a> {
    /// From c, a and b in one piece, at `z`; writes `z - c` to `away`.
    #[inline(always)]
    fn new(given: &'a [f32], z: &[f32], away: &mut [f32]) -> Self {
        let (centre, given) = given.split_at(z.len());
        for ((away, z), c) in away.iter_mut().zip(z).zip(centre) {
            *away = z - c;
        }
        let (alpha, least) = (softplus(given[0]), softplus(given[1]));
        let r = (dot(away, away) + LEAST_SQUARE).sqrt();
        Self {
            centre,
            given,
            alpha,
            least,
            r,
            across: (r + least) / (alpha + r),
        }
    }

    /// `r^2 + 2 alpha r + alpha softplus(b)`.
    #[inline(always)]
    fn outward(&self) -> f32 {
        self.r * (self.r + 2.0 * self.alpha) + self.alpha * self.least
    }

    #[inline(always)]
    fn log_determinant(&self) -> f32 {
        let power = self.centre.len() as f32 - 1.0;
        power * self.across.ln() + self.outward().ln() - 2.0 * (self.alpha + self.r).ln()
    }

    #[inline(always)]
    fn apply(&self, away: &[f32], z: &mut [f32]) {
        for ((z, away), c) in z.iter_mut().zip(away).zip(self.centre) {
            *z = c + away * self.across;
        }
    }

    /// Turns `dz`, the gradient of the image, into that of z, and writes those of c, a and b; `dlog` is that of the
    /// log-determinant.
    #[inline(always)]
    fn back(&self, away: &[f32], dlog: f32, dz: &mut [f32], dgiven: &mut [f32]) {
        let (dcentre, dboth) = dgiven.split_at_mut(away.len());
        let (alpha, least, r, across) = (self.alpha, self.least, self.r, self.across);
        let whole = alpha + r;
        let dacross = dot(dz, away) + dlog * (away.len() as f32 - 1.0) / across;
        let doutward = dlog / self.outward();
        let dwhole = -2.0 * dlog / whole - dacross * across / whole;
        let dr = dacross / whole + doutward * 2.0 * (r + alpha) + dwhole;
        let dalpha = doutward * (2.0 * r + least) + dwhole;
        let dleast = dacross / whole + doutward * alpha;
        dboth[0] = dalpha * logistic(self.given[0]);
        dboth[1] = dleast * logistic(self.given[1]);
        for i in 0..away.len() {
            let daway = dz[i] * across + dr / r * away[i];
            dcentre[i] = dz[i] - daway;
            dz[i] = daway;
        }
    }
}

for_each_level! {
    pub(super) fn forward(rows: Rows<'_>, out: &mut [f32]) {
        let mut away = vec![0.0; rows.size];
        for ((z, given), out) in rows.each().zip(out.chunks_exact_mut(rows.size + 1)) {
            let (moved, log) = out.split_at_mut(rows.size);
            moved.copy_from_slice(z);
            for given in given.chunks_exact(rows.size + 2) {
                let step = Step::new(given, moved, &mut away);
                step.apply(&away, moved);
                log[0] += step.log_determinant();
            }
        }
    }
}

for_each_level! {
    pub(super) fn backward(rows: Rows<'_>, dout: &[f32], dz: &mut [f32], dgiven: &mut [f32]) {
        let (size, each) = (rows.size, rows.size + 2);
        let mut away = vec![0.0; size];
        // z before each step
        let mut before = vec![0.0; rows.count / each * size + size];
        let gradients = dout.chunks_exact(size + 1).zip(dz.chunks_exact_mut(size));
        let gradients = gradients.zip(dgiven.chunks_exact_mut(rows.count));
        for ((z, given), ((dout, dz), dgiven)) in rows.each().zip(gradients) {
            before[..size].copy_from_slice(z);
            for (number, given) in given.chunks_exact(each).enumerate() {
                let (z, after) = before[number * size..].split_at_mut(size);
                Step::new(given, z, &mut away).apply(&away, &mut after[..size]);
            }
            dz.copy_from_slice(&dout[..size]);
            let steps = given.chunks_exact(each).zip(dgiven.chunks_exact_mut(each));
            for (number, (given, dgiven)) in steps.enumerate().rev() {
                let step = Step::new(given, &before[number * size..][..size], &mut away);
                step.back(&away, dout[size], dz, dgiven);
            }
        }
    }
}
