//! Free points: the paper's controlled experiment, in which nothing but the regulariser moves the
//! latents.

use super::config::Posterior;
use super::model::Encoding;
use crate::random::Streams;
use crate::tensors::from_f32;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

/// Latents that are themselves the parameters [count, d], or the means of their posteriors.
#[derive(Module, Debug)]
pub struct Points {
    means: Param<Tensor<2>>,
    /// The log-variances of Gaussian posteriors.
    log_variances: Option<Param<Tensor<2>>>,
    /// The standard deviation of fixed noise, or 0.
    noise: f64,
}

/// The log-variance at which posteriors start: a standard deviation of 0.2, since a broad start can
/// straddle modes for long.
const LOG_VARIANCE: f32 = -3.2;

impl Points {
    /// `count` points of `width` dimensions, drawn from N(0, I).
    pub fn new(
        count: usize,
        width: usize,
        posterior: Posterior,
        streams: Streams,
        device: &Device,
    ) -> Self {
        let values = streams.normal("initial points", 0, count * width);
        let parameter = |values| Param::from_tensor(from_f32(values, [count, width], device));
        Self {
            means: parameter(values),
            log_variances: (posterior == Posterior::Gaussian)
                .then(|| parameter(vec![LOG_VARIANCE; count * width])),
            noise: match posterior {
                Posterior::FixedNoise { scale } => scale,
                _ => 0.0,
            },
        }
    }

    /// The posterior of each point.
    pub fn encoding(&self) -> Encoding {
        let mean = self.means.val();
        let fixed = (self.noise > 0.0).then(|| mean.full_like(2.0 * self.noise.ln()));
        Encoding {
            log_variance: self.log_variances.as_ref().map(Param::val).or(fixed),
            mean,
        }
    }
}
