//! A Gaussian around the encoder's output with a fixed standard deviation.

use super::gaussian::Diagonal;
use super::kind::{PosteriorKind, Weightless, tokens};
use super::posterior::Posterior;
use crate::priors::PointShape;
use crate::problems::Problems;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A mean with added noise of a fixed standard deviation (Unified Latents, arXiv 2602.17270):
/// latents cannot contract below it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FixedNoise {
    /// Standard deviation, in units of the flow's points.
    pub scale: f64,
}

impl Default for FixedNoise {
    fn default() -> Self {
        Self { scale: 0.1 }
    }
}

impl PosteriorKind for FixedNoise {
    fn check(&self, problems: &mut Problems) {
        problems.require(
            self.scale > 0.0 && self.scale.is_finite(),
            "scale",
            self.scale,
            "a positive standard deviation such as 0.1",
        );
    }

    fn others(&self, _: PointShape) -> usize {
        0
    }
}

impl Weightless for FixedNoise {
    fn posterior(
        &self,
        shape: PointShape,
        means: Tensor<2>,
        _: Option<Tensor<2>>,
    ) -> Box<dyn Posterior> {
        let mean = tokens(means, shape);
        Box::new(Diagonal {
            log_variance: mean.full_like(2.0 * self.scale.ln()),
            mean,
        })
    }
}
