//! No noise: the latent is the encoder's output.

use super::kind::{PosteriorKind, Weightless, tokens};
use super::posterior::{Draw, Posterior};
use crate::priors::PointShape;
use burn::tensor::Tensor;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One latent per row.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deterministic {}

impl PosteriorKind for Deterministic {
    fn has_density(&self) -> bool {
        false
    }

    fn others(&self, _: PointShape) -> usize {
        0
    }
}

impl Weightless for Deterministic {
    fn posterior(
        &self,
        shape: PointShape,
        means: Tensor<2>,
        _: Option<Tensor<2>>,
    ) -> Box<dyn Posterior> {
        Box::new(Point(tokens(means, shape)))
    }
}

/// A point mass [B T, d] per row.
struct Point(Tensor<2>);

impl Posterior for Point {
    fn centre(&self) -> Tensor<2> {
        self.0.clone()
    }

    fn draw(&self, _: &mut Pcg64) -> Draw {
        Draw::certain(self.0.clone())
    }

    fn has_density(&self) -> bool {
        false
    }
}
