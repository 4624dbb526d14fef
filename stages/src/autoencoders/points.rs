//! Free points: the paper's controlled experiment, in which only the regulariser moves the latents.

use crate::posteriors::{Head, Posterior, PosteriorConfig, PosteriorHead};
use crate::priors::PointShape;
use crate::random::Streams;
use crate::tensors::from_f32;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

/// The outputs an encoder would have for each point, as parameters.
#[derive(Module, Debug)]
pub struct Points {
    /// Latents or posterior means [count, d].
    means: Param<Tensor<2>>,
    /// Other posterior parameters [count, k].
    others: Option<Param<Tensor<2>>>,
    posterior: PosteriorHead,
}

impl Points {
    /// `count` points of `width` dimensions, drawn from N(0, I).
    pub fn new(
        count: usize,
        width: usize,
        posterior: &PosteriorConfig,
        streams: Streams,
        device: &Device,
    ) -> Self {
        let shape = PointShape { tokens: 1, width };
        let parameter = |values: Vec<f32>| {
            let columns = values.len() / count;
            Param::from_tensor(from_f32(values, [count, columns], device))
        };
        let others = posterior.kind().start(shape).repeat(count);
        Self {
            means: parameter(streams.normal("initial points", 0, count * width)),
            others: (!others.is_empty()).then(|| parameter(others)),
            posterior: PosteriorHead::new(posterior, shape, streams, device),
        }
    }

    /// The posterior of each point.
    pub fn posterior(&self) -> Box<dyn Posterior> {
        let others = self.others.as_ref().map(Param::val);
        self.posterior.posterior(self.means.val(), others)
    }
}
