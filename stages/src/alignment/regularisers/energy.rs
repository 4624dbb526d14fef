//! The energy distance to target samples.

use super::kind::{Encoded, Given, Regulariser, RegulariserKind, check_weight};
use super::latents::Latents;
use super::samples::{Samples, mean_of_pairs, squared_distances};
use super::sampling::{BATCH, Sampling};
use crate::error::Result;
use crate::problems::Problems;
use burn::tensor::Tensor;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The energy distance between the latents of a step and as many target features,
/// `2 E|z - y| - E|z - z'| - E|y - y'|`, unbiased: pairs of different rows only. Unit: that of the latents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Energy {
    /// Weight of the term, per unit of length in the latents' space.
    pub weight: f64,
    /// What is compared: all tokens of a row as one point, or each token as a point of its own.
    pub latents: Latents,
    /// Target rows per step, and the largest number of latents compared with them: a random batch of more.
    pub batch: usize,
}

impl Default for Energy {
    fn default() -> Self {
        Self {
            weight: 3e-3,
            latents: Latents::default(),
            batch: BATCH,
        }
    }
}

impl RegulariserKind for Energy {
    fn check(&self, problems: &mut Problems) {
        check_weight(self.weight, problems);
        Sampling::of(self.latents, self.batch).check(problems);
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn samples(&self) -> Option<Sampling> {
        Some(Sampling::of(self.latents, self.batch))
    }

    fn begin<'a>(&'a self, given: Given<'a>) -> Result<Option<Box<dyn Regulariser + 'a>>> {
        let samples = Samples::new(Sampling::of(self.latents, self.batch), given)?;
        Ok(Some(Box::new(Distance(samples))))
    }
}

struct Distance<'a>(Samples<'a>);

impl Regulariser for Distance<'_> {
    fn term(&self, Encoded { drawn, .. }: Encoded, rng: &mut Pcg64) -> Result<Tensor<1>> {
        let [latents, targets] = self.0.pair(drawn.latents.clone(), rng);
        Ok(energy_distance(&latents, &targets))
    }
}

/// Squared distances below this count as equal rows, whose distance has no gradient.
const CLOSE: f64 = 1e-12;

/// The unbiased estimate `[1]` of the energy distance of the distributions of `x` [n, w] and `y` [m, w] (Szekely
/// and Rizzo 2013).
pub(super) fn energy_distance(x: &Tensor<2>, y: &Tensor<2>) -> Tensor<1> {
    let root = |squared: Tensor<2>| squared.clamp_min(CLOSE).sqrt();
    let between = root(squared_distances(x, y)).mean();
    between.mul_scalar(2.0) - mean_of_pairs(x, root) - mean_of_pairs(y, root)
}
