//! The logit of pixels: numbers that crowd at the ends of their range are spread before a prior sees them.
//!
//! Most pixels of a scan are exactly black. In [-1, 1) they crowd in one of 256 levels, and a flow has to learn that
//! peak; their logits are about as spread as the other numbers (Dinh et al. 2017, arXiv 1605.08803; Papamakarios et
//! al. 2017, arXiv 1705.07057).

use super::condition::ConditionKind;
use super::drawing::{Carried, Way};
use super::prior::{Halving, Nll, NllOptions, Noised, PointShape, Points, Prior, Progress};
use crate::error::Result;
use crate::problems::Problems;
use crate::tensors::to_f64;
use burn::tensor::activation::sigmoid;
use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Divides logits, so that black and white pixels of 256 levels are about unit spread apart from the middle.
const SPREAD: f64 = 4.0;

/// `y = ln(p / (1 - p)) / 4` with `p = margin + (1 - 2 margin) (x + 1) / 2`, for each number x in [-1, 1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Logit {
    /// The distance of p from 0 and 1; without it, the logit of a black pixel without noise is infinite.
    pub margin: f64,
}

impl Logit {
    /// Reports a margin out of range.
    pub fn check(self, problems: &mut Problems) {
        problems.require(
            self.margin > 0.0 && self.margin < 0.5,
            "logit",
            self.margin,
            "a margin above 0 and below 0.5, such as 1e-6",
        );
    }

    /// Maps points on the host, in f64.
    pub fn apply(self, points: &mut [f32]) {
        for x in points {
            let p = self.margin + self.slope() * (f64::from(*x) + 1.0);
            *x = ((p.ln() - (-p).ln_1p()) / SPREAD) as f32;
        }
    }

    /// dp / dx.
    fn slope(self) -> f64 {
        0.5 - self.margin
    }

    /// p [n, T, d] of points x.
    fn share(self, x: Tensor<3>) -> Tensor<3> {
        (x + 1.0).mul_scalar(self.slope()) + self.margin
    }

    /// y of points x, and `ln |det dy / dx|` `[n]` in nats.
    fn forward(self, x: Tensor<3>) -> (Tensor<3>, Tensor<1>) {
        // 1 - p would lose its digits near 1
        let (log, log_rest) = (self.share(x.clone()).log(), self.share(-x).log());
        let log_det = self.log_det_of_logs(log.clone() + log_rest.clone());
        ((log - log_rest).div_scalar(SPREAD), log_det)
    }

    /// `ln |det dy / dx|` `[n]` in nats of points y [n, T, d].
    pub(super) fn log_det_at(self, y: Tensor<3>) -> Tensor<1> {
        // ln p (1 - p) = -|l| - 2 ln(1 + exp(-|l|)) at the logit l
        let size = y.mul_scalar(SPREAD).abs();
        let logs = -size.clone() - (-size).exp().log1p().mul_scalar(2.0);
        self.log_det_of_logs(logs)
    }

    /// Of `ln p (1 - p)` for each number.
    fn log_det_of_logs(self, logs: Tensor<3>) -> Tensor<1> {
        let [count, tokens, width] = logs.dims();
        let constant = (tokens * width) as f64 * (self.slope() / SPREAD).ln();
        let sum: Tensor<1> = logs.flatten::<2>(1, 2).sum_dim(1).reshape([count]);
        -sum + constant
    }

    /// x of points y.
    fn inverse(self, y: Tensor<3>) -> Tensor<3> {
        let p = sigmoid(y.mul_scalar(SPREAD));
        (p - self.margin).div_scalar(self.slope()) - 1.0
    }
}

/// A prior over points x whose logits follow another prior. It has no velocity: that of the other prior is of logits.
pub(super) struct OfLogits {
    inner: Box<dyn Prior>,
    logit: Logit,
}

impl OfLogits {
    /// `inner` over `logit` of points, or itself without.
    pub fn wrapping(inner: Box<dyn Prior>, logit: Option<Logit>) -> Box<dyn Prior> {
        match logit {
            Some(logit) => Box::new(Self { inner, logit }),
            None => inner,
        }
    }

    /// The logits of `points`, and `ln |det dy / dx|` `[n]` in nats.
    fn logits(&self, points: &Points) -> (Points, Tensor<1>) {
        let (values, log_det) = self.logit.forward(points.values.clone());
        let condition = points.condition.clone();
        (Points { values, condition }, log_det)
    }
}

/// Subtracts `log_det` from each of `nll`.
fn less(nll: &mut [f64], log_det: Tensor<1>) -> Result<()> {
    let log_det = to_f64(log_det)?;
    nll.iter_mut().zip(log_det).for_each(|(nll, d)| *nll -= d);
    Ok(())
}

impl Prior for OfLogits {
    fn shape(&self) -> PointShape {
        self.inner.shape()
    }

    fn condition(&self) -> Option<ConditionKind> {
        self.inner.condition()
    }

    fn nll(&self, points: &Points, options: &NllOptions, progress: Progress) -> Result<Nll> {
        let (logits, log_det) = self.logits(points);
        let mut nll = self.inner.nll(&logits, options, progress)?;
        less(&mut nll.values, log_det)?;
        Ok(nll)
    }

    fn halving_check(
        &self,
        points: &Points,
        options: &NllOptions,
        progress: Progress,
    ) -> Result<Option<Halving>> {
        let (logits, log_det) = self.logits(points);
        let mut found = self.inner.halving_check(&logits, options, progress)?;
        if let Some(found) = &mut found {
            less(&mut found.values, log_det)?;
        }
        Ok(found)
    }

    fn to_noise(
        &self,
        points: &Points,
        options: &NllOptions,
        progress: Progress,
    ) -> Result<Noised> {
        let (logits, log_det) = self.logits(points);
        let mut noised = self.inner.to_noise(&logits, options, progress)?;
        let log_det = to_f64(log_det)?;
        (noised.log_det.iter_mut().zip(log_det)).for_each(|(sum, d)| *sum += d);
        Ok(noised)
    }

    fn from_noise(
        &self,
        noise: Tensor<3>,
        condition: Option<Tensor<2>>,
        way: &Way,
        progress: Progress,
    ) -> Result<Carried> {
        let carried = self.inner.from_noise(noise, condition, way, progress)?;
        Ok(Carried {
            points: self.logit.inverse(carried.points),
            ..carried
        })
    }

    fn nll_graph(&self, points: &Points) -> Option<Tensor<1>> {
        let (logits, log_det) = self.logits(points);
        Some(self.inner.nll_graph(&logits)? - log_det)
    }

    fn nll_gradient(
        &self,
        points: &Points,
        options: &NllOptions,
        progress: Progress,
    ) -> Result<Vec<f64>> {
        let (logits, _) = self.logits(points);
        let of_logits = self.inner.nll_gradient(&logits, options, progress)?;
        let slope = self.logit.slope();
        let p = to_f64(self.logit.share(points.values.clone()))?;
        let rest = to_f64(self.logit.share(-points.values.clone()))?;
        let through = of_logits
            .iter()
            .zip(p.iter().zip(rest))
            .map(|(gradient, (p, rest))| {
                // dy / dx, and the derivative of -ln dy / dx
                let (dy, of_log_det) =
                    (slope / (SPREAD * p * rest), slope * (rest - p) / (p * rest));
                gradient * dy + of_log_det
            });
        Ok(through.collect())
    }

    fn parameters(&self) -> usize {
        self.inner.parameters()
    }

    fn device(&self) -> Device {
        self.inner.device()
    }

    fn dtype(&self) -> DType {
        self.inner.dtype()
    }

    fn save(&self, path: &Path, metadata: &str) -> Result<()> {
        self.inner.save(path, metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::priors::{ModelConfig, Placement, Steps};
    use crate::tensors::from_f64;

    const LOGIT: Logit = Logit { margin: 0.01 };

    fn quiet() -> impl FnMut(f64) -> Result<()> {
        |_| Ok(())
    }

    /// N(0, I) over the logits of two numbers, in f64.
    fn prior() -> Box<dyn Prior> {
        let model: ModelConfig = serde_json::from_str(r#"{"kind": "normal"}"#).unwrap();
        let shape = PointShape {
            tokens: 1,
            width: 2,
        };
        let place = Placement {
            dtype: DType::F64,
            ..Placement::on(&Device::flex()).for_gradients()
        };
        let inner = model
            .kind()
            .load(Path::new(""), shape, None, &place)
            .unwrap();
        OfLogits::wrapping(inner, Some(LOGIT))
    }

    fn points(rows: &[f64]) -> Points {
        let shape = [rows.len() / 2, 1, 2];
        Points::new(from_f64(rows.to_vec(), shape, DType::F64, &Device::flex()))
    }

    fn nll(rows: &[f64]) -> Vec<f64> {
        let options = NllOptions::exact(1e-6);
        prior()
            .nll(&points(rows), &options, &mut quiet())
            .unwrap()
            .values
    }

    /// The density integrates to the probability of the range, and so to nearly 1.
    /// Detects: a missing or wrong Jacobian.
    #[test]
    fn the_density_of_points_integrates_to_one() {
        const CELLS: usize = 400;
        let step = 2.0 / CELLS as f64;
        let middle = |i: usize| -1.0 + (i as f64 + 0.5) * step;
        let rows: Vec<f64> = (0..CELLS * CELLS)
            .flat_map(|i| [middle(i / CELLS), middle(i % CELLS)])
            .collect();
        let mass: f64 = nll(&rows)
            .iter()
            .map(|nll| (-nll).exp() * step * step)
            .sum();
        // the logit of a margin of 0.01 is 4.6, a quarter of which is 1.149 standard deviations
        let inside = 1.0 - 2.0 * 0.125_29;
        assert!((mass - inside * inside).abs() < 1e-3, "{mass}");
    }

    /// Detects: a wrong chain rule in the gradient, with the Jacobian's own part left out.
    #[test]
    fn the_gradient_is_that_of_central_differences() {
        let rows = [-0.99, 0.3, 0.0, 0.95];
        let options = NllOptions::exact(1e-6);
        let found = prior()
            .nll_gradient(&points(&rows), &options, &mut quiet())
            .unwrap();
        for (i, found) in found.iter().enumerate() {
            let moved = |by: f64| {
                let mut rows = rows;
                rows[i] += by;
                nll(&rows)[i / 2]
            };
            let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!(
                (found - expected).abs() < 1e-4 * expected.abs().max(1.0),
                "{i}: {found}, {expected}"
            );
        }
    }

    /// Detects: an inverse with another margin or spread; a log-determinant at logits unlike that at points, or one
    /// that noise does not carry.
    #[test]
    fn points_return_from_noise_with_their_log_determinant() {
        let rows = [-0.999, 0.3, 0.0, 0.95];
        let options = NllOptions::exact(1e-6);
        let prior = prior();
        let noised = prior
            .to_noise(&points(&rows), &options, &mut quiet())
            .unwrap();
        let noise = to_f64(noised.noise.clone()).unwrap();
        let of_noise = |z: &[f64]| {
            z.iter()
                .map(|z| 0.5 * (z * z + std::f64::consts::TAU.ln()))
                .sum::<f64>()
        };
        for ((z, log_det), nll) in noise.chunks(2).zip(&noised.log_det).zip(nll(&rows)) {
            assert!(
                (of_noise(z) - log_det - nll).abs() < 1e-9,
                "{z:?} {log_det} {nll}"
            );
        }
        let way = Way::by(Steps::Adaptive(1e-6));
        let back = prior
            .from_noise(noised.noise, None, &way, &mut quiet())
            .unwrap();
        for (back, x) in to_f64(back.points).unwrap().iter().zip(rows) {
            assert!((back - x).abs() < 1e-9, "{back} {x}");
        }
        let (logits, log_det) = LOGIT.forward(points(&rows).values);
        let [at_points, at_logits] =
            [log_det, LOGIT.log_det_at(logits.clone())].map(|d| to_f64(d).unwrap());
        for (a, b) in at_points.iter().zip(at_logits) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
        let mut host = rows.map(|x| x as f32);
        LOGIT.apply(&mut host);
        for (host, y) in host.iter().zip(to_f64(logits).unwrap()) {
            assert!((f64::from(*host) - y).abs() < 1e-4, "{host} {y}");
        }
    }
}
