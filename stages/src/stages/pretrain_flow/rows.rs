//! The definition of a point.

use crate::data::{Dataset, RowView};
use crate::error::{Error, Result};
use crate::problems::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The definition of a point of the prior.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// Each token of features [N, T, D] on its own, or each feature [N, D]: points of width d.
    #[default]
    Tokens,
    /// A whole row of features [N, T, D]: N points of T tokens of width d.
    Sequences,
    /// `{split: T}`: a feature [N, D], normalised and then cut into T tokens of d / T numbers.
    Split(usize),
    /// `{patches: P}`: an image [N, C, H, W] or [N, H, W], cut into patches of P x P pixels, row by row: H W / P^2
    /// tokens of C P^2 numbers. Each token is normalised.
    Patches(usize),
}

impl Rows {
    /// How a dataset's items become rows for the normalisation.
    pub fn view(self) -> RowView {
        match self {
            Self::Patches(side) => RowView::Patches(side),
            _ => RowView::Tokens,
        }
    }

    /// Whether all rows of an item form one point.
    pub fn of_items(self) -> bool {
        matches!(self, Self::Sequences | Self::Patches(_))
    }

    /// Reports every value out of range.
    pub fn check(self, problems: &mut Problems) {
        match self {
            Self::Split(tokens) => problems.at_least("rows.split", tokens, 1),
            Self::Patches(side) => problems.at_least("rows.patches", side, 1),
            _ => {}
        }
    }

    /// Refuses features of `dataset` with `width` numbers after normalisation that cannot be split.
    ///
    /// # Errors
    /// An input error that lists possible numbers of tokens.
    pub fn require_width(self, width: usize, dataset: &Dataset) -> Result<()> {
        let Self::Split(tokens) = self else {
            return Ok(());
        };
        if width.is_multiple_of(tokens) {
            return Ok(());
        }
        let known = (1..=width).filter(|&n| width.is_multiple_of(n));
        let known: Vec<_> = known.map(|n| n.to_string()).collect();
        Err(Error::input(format!(
            "pretrain_flow.rows: found `{{split: {tokens}}}` for {}, whose features are {width} \
             numbers after the normalisation, expected one of {}; `normalisation.projection` \
             changes the width",
            dataset.describe(),
            known.join(", ")
        )))
    }
}
