//! Configuration of the autoencoder, and its place among the kinds of prior: it is not a density over points.

use crate::context::Context;
use crate::error::Result;
use crate::priors::condition::ConditionKind;
use crate::priors::drawing::Ways;
use crate::priors::kind::{Fit, Fitted, Offers, PriorConfig};
use crate::priors::of_sequences::of_sequences_alone;
use crate::priors::prior::{Placement, PointShape, Prior};
use crate::problems::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

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

/// Name of the kind, as in `kind: NAME`.
const KIND: &str = "sequence_vae";

impl PriorConfig for SequenceVae {
    fn check(&self, problems: &mut Problems) {
        problems.within("latent", self.latent, 1..=4096);
        problems.within("embedding", self.embedding, 1..=4096);
        problems.within("width", self.width, 1..=16_384);
        problems.within("layers", self.layers, 1..=16);
        problems.not_negative("kl_weight", self.kl_weight, "0.1");
    }

    fn offers(&self) -> Offers {
        Offers::Density
    }

    fn ways(&self) -> Ways {
        Ways::plain(KIND)
    }

    fn parameters(&self, _: PointShape, _: Option<ConditionKind>) -> u128 {
        0
    }

    fn fit(&self, _: Fit, _: &Context) -> Result<Fitted> {
        Err(of_sequences_alone(KIND))
    }

    fn load(
        &self,
        _: &Path,
        _: PointShape,
        _: Option<ConditionKind>,
        _: &Placement,
    ) -> Result<Box<dyn Prior>> {
        Err(of_sequences_alone(KIND))
    }
}
