//! STARFlow (Gu et al. 2025, arXiv 2506.06276).

use super::design::{BlockDesign, Design, Scale};
use super::guidance::Rule;
use super::network::{self, Network};
use super::tarflow::{check_rates, check_widths};
use crate::context::Context;
use crate::error::Result;
use crate::priors::condition::{ConditionKind, columns_of};
use crate::priors::drawing::Ways;
use crate::priors::kind::{Fit, Fitted, Offers, PriorConfig};
use crate::priors::prior::{Placement, PointShape, Prior};
use crate::problems::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// STARFlow: an autoregressive flow with one deep block next to the noise, the only one that sees conditions, and
/// shallow blocks next to the data. Outputs are bounded, so points should be near unit scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StarFlow {
    /// Number of shallow blocks, next to the data.
    pub shallow_blocks: usize,
    /// Transformer layers of each shallow block.
    pub shallow_layers: usize,
    /// Transformer layers of the deep block.
    pub deep_layers: usize,
    /// Width of the transformers; a multiple of `head_width`.
    pub channels: usize,
    /// Width of an attention head; even.
    pub head_width: usize,
    /// Bound c of the network's outputs o before they become log-scales and shifts: c tanh(o / c); 0 for none.
    pub soft_clip: f64,
    /// Dropout probability in training, after attention and MLP of each layer.
    pub dropout: f64,
}

impl Default for StarFlow {
    fn default() -> Self {
        Self {
            shallow_blocks: 3,
            shallow_layers: 2,
            deep_layers: 8,
            channels: 128,
            head_width: 64,
            soft_clip: 4.0,
            dropout: 0.0,
        }
    }
}

impl StarFlow {
    /// A small configuration for tests.
    pub fn example() -> Self {
        Self {
            shallow_blocks: 3,
            shallow_layers: 1,
            deep_layers: 2,
            channels: 16,
            head_width: 8,
            ..Self::default()
        }
    }

    pub(super) fn design(&self) -> Design {
        let block = |layers, conditional| BlockDesign {
            layers,
            channels: self.channels,
            head_width: self.head_width,
            start: true,
            rotary: true,
            last_norm: true,
            scale: Scale::Softplus,
            soft_clip: self.soft_clip,
            conditional,
        };
        let mut blocks = vec![block(self.shallow_layers, false); self.shallow_blocks];
        blocks.push(block(self.deep_layers, true));
        Design {
            blocks,
            dropout: self.dropout,
            guidance: Rule::Product,
        }
    }
}

/// Supported ways of sampling.
const WAYS: Ways = Ways {
    kind: "starflow",
    stepped: false,
    guided: true,
    sequential: true,
};

impl PriorConfig for StarFlow {
    fn check(&self, problems: &mut Problems) {
        problems.within("shallow_blocks", self.shallow_blocks, 0..=64);
        problems.within("shallow_layers", self.shallow_layers, 1..=128);
        problems.within("deep_layers", self.deep_layers, 1..=128);
        check_widths(self.channels, self.head_width, problems);
        problems.require(
            self.head_width.is_multiple_of(2),
            "head_width",
            self.head_width,
            "an even number: rotary positions turn pairs",
        );
        check_rates(self.soft_clip, self.dropout, problems);
    }

    fn offers(&self) -> Offers {
        Offers::Density
    }

    fn conditional(&self) -> bool {
        true
    }

    fn ways(&self) -> Ways {
        WAYS
    }

    fn parameters(&self, shape: PointShape, condition: Option<ConditionKind>) -> u128 {
        Network::parameters(&self.design(), shape, columns_of(condition))
    }

    fn fit(&self, fit: Fit, context: &Context) -> Result<Fitted> {
        network::fit(&self.design(), WAYS, fit, context)
    }

    fn load(
        &self,
        path: &Path,
        shape: PointShape,
        condition: Option<ConditionKind>,
        place: &Placement,
    ) -> Result<Box<dyn Prior>> {
        network::load(&self.design(), WAYS, path, (shape, condition), place)
    }
}
