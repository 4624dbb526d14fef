//! Configuration of the model, and its place among the kinds of prior: it is not a density over
//! points.

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

/// Name of the kind, as in `kind: NAME`.
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
