//! A Gaussian with a diagonal covariance.

use super::kind::{PosteriorKind, Weightless, tokens};
use super::posterior::{Draw, Posterior};
use crate::priors::PointShape;
use crate::random::normal;
use crate::tensors::from_f32;
use burn::tensor::Tensor;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// Mean and log-variance of a diagonal Gaussian, sampled in training.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gaussian {}

/// Log-variances are bounded to +- this, to prevent overflow after a bad start.
pub const LOG_VARIANCE: f64 = 15.0;
/// Initial log-variance of posteriors of free points: a standard deviation of 0.2, since broad initial
/// posteriors can straddle modes for a long time.
pub(super) const START: f32 = -3.2;

impl PosteriorKind for Gaussian {
    fn others(&self, shape: PointShape) -> usize {
        shape.elements()
    }

    fn start(&self, shape: PointShape) -> Vec<f32> {
        vec![START; self.others(shape)]
    }
}

impl Weightless for Gaussian {
    /// The others are log-variances [B T, d].
    fn posterior(
        &self,
        shape: PointShape,
        means: Tensor<2>,
        others: Option<Tensor<2>>,
    ) -> Box<dyn Posterior> {
        let log_variance = others.expect("as many others as means");
        Box::new(Diagonal {
            mean: tokens(means, shape),
            log_variance: confined(tokens(log_variance, shape)),
        })
    }
}

/// Bounded log-variances.
pub(super) fn confined(log_variance: Tensor<2>) -> Tensor<2> {
    log_variance.clamp(-LOG_VARIANCE, LOG_VARIANCE)
}

/// `N(mean, diag(exp(log_variance)))` for each row of both [n, d].
#[derive(Debug, Clone)]
pub(super) struct Diagonal {
    pub mean: Tensor<2>,
    pub log_variance: Tensor<2>,
}

impl Diagonal {
    /// From `means` [B, M] and the log-variances, the first of a kind's `others` [B, k].
    pub fn of_rows(means: Tensor<2>, others: &Tensor<2>) -> Self {
        let [_, size] = means.dims();
        Self {
            mean: means,
            log_variance: confined(others.clone().narrow(1, 0, size)),
        }
    }

    /// A draw for each row [n, d].
    pub fn sample(&self, rng: &mut Pcg64) -> Tensor<2> {
        let dims = self.mean.dims();
        let noise = normal(rng, dims.iter().product());
        let noise = from_f32(noise, dims, &self.mean.device()).cast(self.mean.dtype());
        self.mean.clone() + self.log_variance.clone().mul_scalar(0.5).exp() * noise
    }

    /// The log-density in nats of each row of `z` [n, d] under its own Gaussian: [n, 1].
    pub fn log_density_of(&self, z: Tensor<2>) -> Tensor<2> {
        let log_variance = self.log_variance.clone();
        let square = (z - self.mean.clone()).square() / log_variance.clone().exp();
        let terms = square + log_variance + TAU.ln();
        terms.sum_dim(1).mul_scalar(-0.5)
    }
}

impl Posterior for Diagonal {
    fn centre(&self) -> Tensor<2> {
        self.mean.clone()
    }

    fn draw(&self, rng: &mut Pcg64) -> Draw {
        let (latents, this) = (self.sample(rng), self.clone());
        Draw::new(latents.clone(), move || {
            this.log_density_of(latents.clone())
        })
    }

    /// Per token, `(log sigma^2 + ln(2 pi e)) / 2` summed over its elements.
    fn entropy(&self) -> Option<Tensor<2>> {
        let terms = self.log_variance.clone() + (TAU.ln() + 1.0);
        Some(terms.sum_dim(1).mul_scalar(0.5))
    }

    // one sum over all elements instead of one per token
    fn mean_entropy(&self) -> Option<Tensor<1>> {
        let log_variance = self.log_variance.clone();
        Some((log_variance.mean() + (TAU.ln() + 1.0)).mul_scalar(0.5))
    }

    fn kl_to_normal(&self) -> Option<Tensor<2>> {
        let log_variance = self.log_variance.clone();
        let terms = self.mean.clone().square() + log_variance.clone().exp() - log_variance - 1.0;
        Some(terms.sum_dim(1).mul_scalar(0.5))
    }
}
