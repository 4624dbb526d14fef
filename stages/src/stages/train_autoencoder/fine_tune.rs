//! Fine-tuning of the autoencoder of another experiment.

use crate::problems::Problems;
use crate::random::normal;
use crate::tensors::from_f32;
use burn::tensor::Tensor;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Start from a trained autoencoder instead of new weights, for example with noise on its latents, so that its
/// decoder can decode samples of a flow of noisy latents (Gu et al. 2025, arXiv 2506.06276).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FineTune {
    /// The file of the autoencoder's experiment, relative to this one, with the same data, architecture and
    /// latents.
    pub from: Option<PathBuf>,
    /// Train the decoder only, so that latents do not change.
    #[serde(default)]
    pub decoder_only: bool,
    /// Standard deviation of noise added to latents before decoding, in training.
    #[serde(default)]
    pub noise: f64,
}

impl FineTune {
    /// Reports every value out of range; `regularised` says whether there is a regulariser.
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
            "`regulariser: {kind: none}`: latents are fixed, so that a regulariser has no effect",
        );
    }

    /// Latents [n, d] as passed to the decoder in training.
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
