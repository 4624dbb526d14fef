//! Going on from the finished autoencoder of another experiment.

use crate::problems::Problems;
use crate::random::normal;
use crate::tensors::from_f32;
use burn::tensor::Tensor;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Go on from a finished autoencoder instead of fresh weights, such as with noise on its latents, so that its decoder
/// takes what a flow of noisy latents draws (Gu et al. 2025, arXiv 2506.06276).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FineTune {
    /// The file of the experiment, relative to this one, whose autoencoder it is, of the same data, architecture and
    /// latents.
    pub from: Option<PathBuf>,
    /// Whether the decoder alone is trained: latents stay what they are.
    #[serde(default)]
    pub decoder_only: bool,
    /// The standard deviation of noise that is added to latents before they are decoded, in training.
    #[serde(default)]
    pub noise: f64,
}

impl FineTune {
    /// Notes every value out of range; `regularised` says whether a regulariser would move latents.
    pub(super) fn check(&self, regularised: bool, problems: &mut Problems) {
        problems.require(
            self.from.is_some(),
            "from",
            "nothing",
            "the file of an experiment with an autoencoder",
        );
        problems.not_negative("noise", self.noise, "0.3");
        problems.require(
            !(self.decoder_only && regularised),
            "decoder_only",
            "true, and a regulariser",
            "`regulariser: {kind: none}`: latents do not move, so that nothing could hold them to the flow",
        );
    }

    /// Latents [n, d] as the decoder gets them in training.
    pub(super) fn for_decoder(&self, latents: Tensor<2>, rng: &mut Pcg64) -> Tensor<2> {
        let latents = match self.decoder_only {
            true => latents.detach(),
            false => latents,
        };
        if self.noise == 0.0 {
            return latents;
        }
        let dims = latents.dims();
        let noise = from_f32(normal(rng, dims[0] * dims[1]), dims, &latents.device());
        latents + noise.mul_scalar(self.noise)
    }
}
