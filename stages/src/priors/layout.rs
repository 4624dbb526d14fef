//! Layout of features as points, besides the normalisation.

use super::logit::Logit;
use super::noise::Noise;
use super::prior::PointShape;
use crate::data::{Normaliser, Patches};
use crate::problems::Problems;
use serde::{Deserialize, Serialize};

/// Layout of features as points.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)] // a layout that this version does not know would be read wrong
pub struct Layout {
    /// How a feature is cut into tokens.
    #[serde(default)]
    pub cut: Cut,
    /// Noise added to features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
    /// The logit of normalised features with noise that the prior sees in their place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logit: Option<Logit>,
    /// Smallest and largest possible feature value, if known, as for pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
}

/// How a feature is cut into the tokens of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Not cut: each token of a point is a feature `[D]`.
    #[default]
    None,
    /// The normalised feature `[D]` is cut into tokens of D / T numbers.
    Split,
    /// An image is cut into patches; each patch is normalised.
    Patches(Patches),
}

impl Layout {
    /// Whether tokens are used as they are.
    pub(super) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Reports conflicts with points of `shape` and `normaliser`, as in a damaged file.
    pub(super) fn check(
        &self,
        shape: PointShape,
        normaliser: &Normaliser,
        problems: &mut Problems,
    ) {
        if let Some(logit) = self.logit {
            problems.section("layout", |p| logit.check(p));
        }
        let (from, to) = (normaliser.input_width, normaliser.output_width);
        let fits = match self.cut {
            Cut::None => return,
            Cut::Split => to == shape.elements(),
            Cut::Patches(patches) => {
                patches.check(problems);
                patches.side > 0
                    && (patches.tokens(), patches.width(), to) == (shape.tokens, from, shape.width)
            }
        };
        problems.require(
            fits,
            "layout.cut",
            format!("{:?} with a normalisation [{from}, {to}]", self.cut),
            &format!("points [{}, {}] of it", shape.tokens, shape.width),
        );
    }
}
