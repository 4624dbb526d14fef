//! Configuration of the model, and its place among the kinds of prior: it is not a density over
//! points.

use crate::priors::of_sequences::OfSequencesAlone;
use crate::problems::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An autoregressive sequence model whose latents are the noise used to draw tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GumbelMax {
    /// Width of a token embedding.
    pub embedding: usize,
    /// Width of the LSTM's state.
    pub width: usize,
    /// Number of LSTM layers.
    pub layers: usize,
}

impl Default for GumbelMax {
    fn default() -> Self {
        Self {
            embedding: 32,
            width: 128,
            layers: 1,
        }
    }
}

impl OfSequencesAlone for GumbelMax {
    const KIND: &str = "gumbel_max";

    fn check(&self, problems: &mut Problems) {
        problems.within("embedding", self.embedding, 1..=4096);
        problems.within("width", self.width, 1..=16_384);
        problems.within("layers", self.layers, 1..=16);
    }
}
