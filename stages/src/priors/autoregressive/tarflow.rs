//! TarFlow (Zhai et al. 2024, arXiv 2412.06329).

use super::design::{BlockDesign, Design, Scale};
use super::guidance::Rule;
use super::network::{self, Network};
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

/// TarFlow: a chain of causal transformers over the tokens of a point. Exact likelihoods; samples are drawn token
/// by token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TarFlow {
    /// Number of blocks; every second one reads the tokens in reverse.
    pub blocks: usize,
    /// Transformer layers per block.
    pub layers: usize,
    /// Width of the transformers; a multiple of `head_width`.
    pub channels: usize,
    /// Width of an attention head.
    pub head_width: usize,
    /// Bound c of log-scales and shifts: c tanh(o / c) for the output o; 0 for none.
    pub soft_clip: f64,
    /// Dropout probability in training, after attention and MLP of each layer.
    pub dropout: f64,
}

impl Default for TarFlow {
    fn default() -> Self {
        Self {
            blocks: 4,
            layers: 4,
            channels: 128,
            head_width: 64,
            soft_clip: 0.0,
            dropout: 0.0,
        }
    }
}

impl TarFlow {
    /// A small configuration for tests.
    pub fn example() -> Self {
        Self {
            blocks: 4,
            layers: 2,
            channels: 16,
            head_width: 8,
            ..Self::default()
        }
    }

    pub(super) fn design(&self) -> Design {
        let block = BlockDesign {
            layers: self.layers,
            channels: self.channels,
            head_width: self.head_width,
            start: false,
            rotary: false,
            last_norm: false,
            scale: Scale::Exponential,
            soft_clip: self.soft_clip,
            conditional: true,
        };
        Design {
            blocks: vec![block; self.blocks],
            dropout: self.dropout,
            guidance: Rule::Extrapolation,
        }
    }
}

/// Reports transformer widths that do not fit together, under the keys that all kinds share.
pub(super) fn check_widths(channels: usize, head_width: usize, problems: &mut Problems) {
    problems.within("head_width", head_width, 1..=1024);
    problems.within("channels", channels, 1..=16_384);
    problems.require(
        head_width == 0 || channels.is_multiple_of(head_width),
        "channels",
        channels,
        &format!("a multiple of head_width, {head_width}"),
    );
}

/// Reports a bound or a rate that is out of range.
pub(super) fn check_rates(soft_clip: f64, dropout: f64, problems: &mut Problems) {
    problems.require(
        soft_clip >= 0.0 && soft_clip.is_finite(),
        "soft_clip",
        soft_clip,
        "0 (none) or a positive bound, such as 4",
    );
    problems.require(
        (0.0..1.0).contains(&dropout),
        "dropout",
        dropout,
        "0 (none) or a probability below 1, such as 0.1",
    );
}

/// Supported ways of sampling.
const WAYS: Ways = Ways {
    kind: "tarflow",
    stepped: false,
    guided: true,
    sequential: true,
};

impl PriorConfig for TarFlow {
    fn check(&self, problems: &mut Problems) {
        problems.within("blocks", self.blocks, 1..=64);
        problems.within("layers", self.layers, 1..=128);
        check_widths(self.channels, self.head_width, problems);
        check_rates(self.soft_clip, self.dropout, problems);
    }

    fn offers(&self) -> Offers {
        Offers::Density
    }

    fn conditional(&self) -> bool {
        true
    }

    fn check_shape(&self, shape: PointShape) -> Result<(), String> {
        match shape.tokens {
            0 | 1 => Err(
                "points of at least 2 tokens, since each token is predicted from those before it: \
                 `rows: {split: T}` for vectors, `rows: {patches: P}` for images, `rows: \
                 sequences` for rows of tokens"
                    .into(),
            ),
            _ => Ok(()),
        }
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
