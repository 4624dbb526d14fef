//! What a regulariser matches: whole rows of latents, or single tokens.

use crate::error::{Error, Result};
use crate::priors::PointShape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is matched to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Latents {
    /// All tokens of a row together: their dependence is matched too. If the prior is over single tokens, its
    /// tokens count as independent.
    #[default]
    Whole,
    /// Each token alone: tokens of a row may depend on each other.
    Tokens,
}

impl Latents {
    /// Refuses rows of `width` numbers that are no multiple of a point of a prior over `points`.
    ///
    /// # Errors
    /// An input error: tokens under a prior over whole rows.
    pub(super) fn check_prior(self, points: PointShape, width: usize) -> Result<()> {
        if width.is_multiple_of(points.elements()) {
            return Ok(());
        }
        Err(Error::input(format!(
            "train_autoencoder.regulariser.latents: found tokens with a prior over points of {} tokens, \
             expected `whole`",
            points.tokens
        )))
    }
}
