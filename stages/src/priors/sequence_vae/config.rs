//! Configuration of the autoencoder, and its place among the kinds of prior: it is not a density over points.

use crate::priors::of_sequences::OfSequencesAlone;
use crate::problems::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A variational autoencoder of sequences: an LSTM encoder with a Gaussian posterior, and an LSTM decoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SequenceVae {
    /// Width of a latent.
    pub latent: usize,
    /// Width of a token embedding.
    pub embedding: usize,
    /// Width of both LSTM states.
    pub width: usize,
    /// Number of layers of each LSTM.
    pub layers: usize,
    /// Weight of the KL divergence to N(0, I), in nats per nat of reconstruction; below 1, latents retain more
    /// of their sequence.
    pub kl_weight: f64,
    /// Steps over which the weight rises from 0.
    pub warm_up_steps: u64,
}

impl Default for SequenceVae {
    fn default() -> Self {
        Self {
            latent: 64,
            embedding: 32,
            width: 128,
            layers: 1,
            kl_weight: 0.1,
            warm_up_steps: 1000,
        }
    }
}

impl SequenceVae {
    /// The weight of the divergence at `step`.
    pub(super) fn weight(&self, step: u64) -> f64 {
        let share = (step + 1) as f64 / self.warm_up_steps.max(1) as f64;
        self.kl_weight * share.min(1.0)
    }
}

impl OfSequencesAlone for SequenceVae {
    const KIND: &str = "sequence_vae";

    fn check(&self, problems: &mut Problems) {
        problems.within("latent", self.latent, 1..=4096);
        problems.within("embedding", self.embedding, 1..=4096);
        problems.within("width", self.width, 1..=16_384);
        problems.within("layers", self.layers, 1..=16);
        problems.not_negative("kl_weight", self.kl_weight, "0.1");
    }
}
