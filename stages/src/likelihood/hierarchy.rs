//! A flow as a Markovian hierarchical VAE of N levels (Kingma et al. 2021, *Variational Diffusion Models*, arXiv
//! 2107.00630, in this project's times).
//!
//! Latents of a point y are `x_t = t y + (1 - t) noise` at times 0 = t_0 < t_1 < ... < t_N, with the ratios
//! `r = t / (1 - t)`. The encoder adds noise level by level; the decoder of a level is the encoder's
//! `q(x_{t_i} | x_{t_{i-1}}, y)` with y replaced by the velocity's prediction, `x + (1 - t) v`; that of the last
//! level is a Gaussian of scale 1 / R. The negative ELBO is then (equations 11 to 14 there)
//!
//! ```text
//! sum over i = 1..N of (r_i^2 - r_{i-1}^2) / 2 (1 - t_{i-1})^2 E |v(x, t_{i-1}) - (y - noise)|^2
//!     + d (ln(2 pi) / 2 + 1/2 - ln R)                                                      r_N = R
//! ```
//!
//! since latents at t_0 = 0 are N(0, I), like the prior. It is a Riemann sum of the likelihood-weighted bound of
//! the same velocity, to which it decreases as N grows.

use crate::alignment::{Weighted, Weighting};
use crate::error::{Error, Result};
use crate::priors::{ROWS_PER_EVALUATION, VelocityField};
use crate::random::Streams;
use crate::tensors::{from_f64, to_f64};
use burn::tensor::Tensor;

/// The levels of a hierarchy.
pub struct Hierarchy {
    /// Times of the latents that levels decode from, t_0 to t_{N-1}.
    times: Vec<f64>,
    /// Factors on the squared error of the velocity.
    factors: Vec<f64>,
    /// Contribution of the last level per dimension.
    last: f64,
}

impl Hierarchy {
    /// N = `levels`, at least 2, with positive ratios evenly spaced in ln r over the range of the likelihood
    /// weighting, up to R = `truncation`.
    pub fn new(levels: usize, truncation: f64) -> Self {
        let weighted = Weighted {
            weighting: Weighting::Likelihood,
            truncation,
        };
        let time = |level: usize| match level {
            0 => 0.0,
            _ => weighted.node((level - 1) as f64 / (levels - 1) as f64).time,
        };
        let ratio = |level| time(level) / (1.0 - time(level));
        let factor = |level: usize| {
            let rise = ratio(level + 1).powi(2) - ratio(level).powi(2);
            0.5 * rise * (1.0 - time(level)).powi(2)
        };
        Self {
            times: (0..levels).map(time).collect(),
            factors: (0..levels).map(factor).collect(),
            last: weighted.constant(),
        }
    }

    /// An unbiased estimate of the negative ELBO of each of `points` [n, d] in nats, with independent noise for
    /// every level and point. `check` is called regularly; an error from it stops the computation.
    ///
    /// # Errors
    /// Errors of `check`; a numerical error that names the first point with an ELBO that is not finite; device
    /// errors.
    pub fn negative_elbos(
        &self,
        field: &dyn VelocityField,
        points: &Tensor<2>,
        streams: Streams,
        mut check: impl FnMut() -> Result<()>,
    ) -> Result<Vec<f64>> {
        let [n, d] = points.dims();
        let mut totals = vec![self.last * d as f64; n];
        for start in (0..n).step_by(ROWS_PER_EVALUATION) {
            let count = ROWS_PER_EVALUATION.min(n - start);
            let y = points.clone().narrow(0, start, count);
            let at_once = (ROWS_PER_EVALUATION / count).max(1);
            for first in (0..self.times.len()).step_by(at_once) {
                check()?;
                let levels = first..(first + at_once).min(self.times.len());
                let step = (start * self.times.len() + first) as u64;
                let errors = self.errors(field, &y, levels.clone(), (streams, step));
                for (level, errors) in levels.zip(to_f64(errors)?.chunks(count)) {
                    for (total, error) in totals[start..].iter_mut().zip(errors) {
                        *total += self.factors[level] * error;
                    }
                }
            }
        }
        match totals.iter().position(|total| !total.is_finite()) {
            None => Ok(totals),
            Some(point) => Err(Error::Numerical(format!(
                "the ELBO of point {point} is not finite: the velocity is not finite near it"
            ))),
        }
    }

    /// The squared errors of the velocity [levels, n] for `y` [n, d].
    fn errors(
        &self,
        field: &dyn VelocityField,
        y: &Tensor<2>,
        levels: std::ops::Range<usize>,
        (streams, step): (Streams, u64),
    ) -> Tensor<2> {
        let ([n, d], k) = (y.dims(), levels.len());
        let times = &self.times[levels];
        let (dtype, device) = (y.dtype(), y.device());
        let noise = streams.normal("hierarchy", step, k * n * d);
        let noise = noise.into_iter().map(f64::from).collect();
        let noise: Tensor<3> = from_f64(noise, [k, n, d], dtype, &device);
        let t: Tensor<3> = from_f64(times.to_vec(), [k, 1, 1], dtype, &device);
        let y = y.clone().unsqueeze::<3>();
        let direction = y - noise.clone();
        let x = noise + t * direction.clone();
        let error = field.velocity(x, times) - direction;
        error.square().sum_dim(2).squeeze_dim(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::{mean, standard_error};
    use crate::priors::ExactMixture;
    use crate::targets::GaussianMixture;
    use burn::tensor::{DType, Device};
    use std::f64::consts::TAU;

    const TRUNCATION: f64 = 50.0;

    fn normal() -> ExactMixture {
        let mixture = GaussianMixture {
            weights: vec![1.0],
            means: vec![vec![0.0]],
            covariances: vec![vec![1.0]],
        };
        ExactMixture::new(&mixture, DType::F64, &Device::flex())
    }

    /// For N(0, 1) the velocity predicts `s x / ((1 - s)^2 + s^2)` from a latent at s, so each level's error has a
    /// closed form.
    fn closed(y: f64, levels: usize) -> f64 {
        let ratio = |i: usize| match i {
            0 => 0.0,
            _ => 0.01 * (TRUNCATION / 0.01f64).powf((i as f64 - 1.0) / (levels as f64 - 1.0)),
        };
        let level = |i: usize| {
            let s = ratio(i) / (1.0 + ratio(i));
            let variance = (1.0 - s).powi(2) + s * s;
            let error =
                (y * (1.0 - s).powi(2) / variance).powi(2) + (s * (1.0 - s) / variance).powi(2);
            0.5 * (ratio(i + 1).powi(2) - ratio(i).powi(2)) * error
        };
        (0..levels).map(level).sum::<f64>() + 0.5 * TAU.ln() + 0.5 - TRUNCATION.ln()
    }

    /// Fails if a level uses the wrong time, ratio or noise, or the last one is missing.
    #[test]
    fn the_elbo_of_a_normal_density_has_its_closed_form_and_falls_to_the_nll() {
        let (y, count, field) = (0.8, 20_000, normal());
        let points = from_f64(vec![y; count], [count, 1], DType::F64, &Device::flex());
        for levels in [2, 7, 40] {
            let hierarchy = Hierarchy::new(levels, TRUNCATION);
            let found =
                hierarchy.negative_elbos(&field, &points, Streams::new(levels as u64), || Ok(()));
            let found = found.unwrap();
            let (value, error) = (mean(&found), standard_error(&found, 1));
            let expected = closed(y, levels);
            assert!(
                (value - expected).abs() < 4.0 * error,
                "{levels}: {value} {error} {expected}"
            );
            assert!(error < 0.02 * expected, "{levels}: {error} {expected}");
        }
        let nll = 0.5 * TAU.ln() + 0.5 * y * y;
        let gaps = [10, 100, 1000, 10_000].map(|levels| closed(y, levels) - nll);
        assert!(gaps.windows(2).all(|pair| pair[0] > pair[1]), "{gaps:?}");
        assert!(gaps[3] > 0.0 && gaps[3] < 4e-3, "{gaps:?}");
    }
}
