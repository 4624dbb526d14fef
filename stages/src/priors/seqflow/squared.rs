//! The non-linear squared map (Ziegler & Rush 2019, arXiv 1901.10548) and its inverse in closed form.
//!
//! ```text
//! u = a + b y + c / (1 + (d y + f)^2)
//! b = exp(0.4 r1)    d = exp(0.4 r3)    c = k b / d    k = tanh(0.3 r2) (8 sqrt(3) / 9 - 0.05)
//! ```
//!
//! With w = d y + f its slope is b (1 - 2 k w / (1 + w^2)^2), between 0.0325 b and 1.9675 b, so the map is
//! increasing. Its inverse is the only real root of a cubic equation, solved in f64 on the host.

use crate::error::Result;
use crate::tensors::{from_f64, to_f64};
use burn::tensor::Tensor;
use rayon::prelude::*;

/// Parameters per element: a, r1, r2, r3 and f.
pub(super) const PARAMETERS: usize = 5;
/// The largest |k|: at 8 sqrt(3) / 9 the slope would reach zero.
const LARGEST: f64 = 1.539_600_717_839_002 - 0.05;

/// Elements per parallel task.
const AT_ONCE: usize = 4096;

/// The raw parameters of a map of m elements, [n, 5 m]: all a, then all r1, r2, r3, f.
pub(super) struct Squared {
    raw: Tensor<2>,
    elements: usize,
}

impl Squared {
    pub fn new(raw: Tensor<2>) -> Self {
        let [_, columns] = raw.dims();
        let elements = columns / PARAMETERS;
        Self { raw, elements }
    }

    fn part(&self, number: usize) -> Tensor<2> {
        let m = self.elements;
        self.raw.clone().narrow(1, number * m, m)
    }

    /// Maps `y` [n, m] to u [n, m]; also returns the sum of the log-slopes [n, 1].
    pub fn forward(&self, y: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let [a, r1, r2, r3, f] = std::array::from_fn(|i| self.part(i));
        let k = r2.mul_scalar(0.3).tanh().mul_scalar(LARGEST);
        let (log_b, log_d) = (r1.mul_scalar(0.4), r3.mul_scalar(0.4));
        let (b, d) = (log_b.clone().exp(), log_d.exp());
        let w = d.clone() * y.clone() + f;
        let hump = (w.clone().square() + 1.0).recip();
        let u = a + b * (y + k.clone() / d * hump.clone());
        let slope = (k * w * hump.square()).mul_scalar(-2.0) + 1.0;
        let log_slope = log_b + slope.log();
        (u, log_slope.sum_dim(1))
    }

    /// Maps `u` [n, m] back to y [n, m].
    ///
    /// # Errors
    /// Device errors.
    pub fn inverse(&self, u: &Tensor<2>) -> Result<Tensor<2>> {
        let (dims, dtype, device) = (u.dims(), u.dtype(), u.device());
        let m = self.elements;
        let raw = to_f64(self.raw.clone())?;
        let mut values = to_f64(u.clone())?;
        let rows = (values.par_chunks_mut(m)).zip(raw.par_chunks(PARAMETERS * m));
        (rows.with_min_len(AT_ONCE.div_ceil(m.max(1)))).for_each(|(values, raw)| {
            for (i, value) in values.iter_mut().enumerate() {
                *value = inverse(*value, std::array::from_fn(|p| raw[p * m + i]));
            }
        });
        Ok(from_f64(values, dims, dtype, &device))
    }
}

/// The y that is mapped to u, with parameters a, r1, r2, r3 and f.
fn inverse(u: f64, [a, r1, r2, r3, f]: [f64; PARAMETERS]) -> f64 {
    let k = (0.3 * r2).tanh() * LARGEST;
    let (b, d) = ((0.4 * r1).exp(), (0.4 * r3).exp());
    let s = (u - a) / b * d + f;
    (root(s, k) - f) / d
}

/// The w with w + k / (1 + w^2) = s, |k| < 8 sqrt(3) / 9: the only real root of w^3 - s w^2 + w + k - s = 0, by
/// Cardano's formula and refined by Newton steps.
fn root(s: f64, k: f64) -> f64 {
    // w = t + s / 3 gives the depressed cubic t^3 + p t + q = 0
    let p = 1.0 - s * s / 3.0;
    let q = k - 2.0 * s / 3.0 - 2.0 * s * s * s / 27.0;
    // negative only by rounding, as there is one real root
    let discriminant = (q * q / 4.0 + p * p * p / 27.0).max(0.0);
    // the root of the resolvent without cancellation
    let larger = -(q.abs() / 2.0 + discriminant.sqrt()).cbrt().copysign(q);
    let smaller = match larger == 0.0 {
        true => 0.0, // p = q = 0: a triple root
        false => -p / (3.0 * larger),
    };
    let mut w = larger + smaller + s / 3.0;
    for _ in 0..2 {
        let hump = 1.0 / (1.0 + w * w);
        let slope = 1.0 - 2.0 * k * w * hump * hump;
        w -= (w + k * hump - s) / slope;
    }
    w
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device};

    fn forward(y: f64, parameters: [f64; PARAMETERS]) -> [f64; 2] {
        let tensor = |values: &[f64]| {
            from_f64(
                values.to_vec(),
                [1, values.len()],
                DType::F64,
                &Device::flex(),
            )
        };
        let (u, log_slope) = Squared::new(tensor(&parameters)).forward(tensor(&[y]));
        [to_f64(u).unwrap()[0], to_f64(log_slope).unwrap()[0]]
    }

    /// Values computed by independent code.
    #[test]
    fn the_map_and_its_slope_have_their_reference_values() {
        for (parameters, y, u, log_slope) in [
            ([0.1, 0.5, 1.0, -0.5, 0.2], 0.7, 1.360165, -0.104966),
            ([-0.3, -1.0, 3.0, 2.0, -0.4], -1.2, -1.073568, -0.341496),
        ] {
            let found = forward(y, parameters);
            assert!((found[0] - u).abs() < 1e-6, "{found:?}");
            assert!((found[1] - log_slope).abs() < 1e-6, "{found:?}");
            assert!((inverse(found[0], parameters) - y).abs() < 3e-15);
        }
    }

    /// Fails if the slope may vanish: the map would then have no inverse.
    #[test]
    fn the_slope_stays_within_its_bounds() {
        let slope = |r2: f64, w: f64| forward(w, [0.0, 0.0, r2, 0.0, 0.0])[1].exp();
        let steepest = 1.0 / 3f64.sqrt();
        assert!((slope(1e3, steepest) - 0.032_476).abs() < 1e-6);
        assert!((slope(-1e3, steepest) - 1.967_524).abs() < 1e-6);
    }

    /// Fails if a root is NaN at p = 0 or q = 0, or loses digits for large u.
    #[test]
    fn the_inverse_is_right_where_the_cubic_degenerates_and_everywhere_else() {
        // p = 0 at s = sqrt(3); q = 0 for k = 2 s / 3 + 2 s^3 / 27; both at once where k = 8 sqrt(3) / 9
        let zero_q = |s: f64| 2.0 * s / 3.0 + 2.0 * s * s * s / 27.0;
        let s3 = 3f64.sqrt();
        let mut pairs = vec![
            (s3, 0.0),
            (s3, 1.0),
            (-s3, -1.0),
            (0.0, 0.0),
            (s3, zero_q(s3)),
        ];
        pairs.extend([0.5, -0.5, 1.0, 1.7].map(|s| (s, zero_q(s))));
        for s in [1e-12, 1e-3, 0.3, 1.0, 1.732, 2.0, 5.0, 1e3, 1e8, 1e15] {
            for k in [0.0, 1e-9, 0.7, LARGEST] {
                pairs.extend([(s, k), (s, -k), (-s, k), (-s, -k)]);
            }
        }
        for (s, k) in pairs {
            let w = root(s, k);
            let error = (w + k / (1.0 + w * w) - s).abs() / s.abs().max(1.0);
            assert!(error < 1e-14, "{s} {k}: {w} {error}");
        }
    }
}
