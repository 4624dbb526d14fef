//! How the model is configured, and what it is as a kind of prior: none over points of numbers.

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

/// An autoregressive model of sequences whose latents are the noise by which it draws tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GumbelMax {
    /// Numbers of an embedded token.
    pub embedding: usize,
    /// Width of the LSTM's state.
    pub width: usize,
    /// Its layers.
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

/// Its name, as in `kind: NAME`.
const KIND: &str = "gumbel_max";

impl PriorConfig for GumbelMax {
    fn check(&self, problems: &mut Problems) {
        problems.within("embedding", self.embedding, 1..=4096);
        problems.within("width", self.width, 1..=16_384);
        problems.within("layers", self.layers, 1..=16);
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
