//! The sliced Wasserstein distance to target samples.

use super::kind::{Encoded, Given, Regulariser, RegulariserKind, check_weight};
use super::latents::Latents;
use super::samples::Samples;
use super::sampling::{BATCH, Sampling};
use crate::error::Result;
use crate::problems::Problems;
use crate::random::normal;
use crate::tensors::from_f32;
use burn::tensor::Tensor;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The squared sliced Wasserstein distance between the latents of a step and as many target features: the mean over
/// random directions of the squared distance of sorted projections, minus that of two batches of features. Unit: the
/// square of the latents', per element of latents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlicedWasserstein {
    /// Weight of the term, per squared unit of length in the latents' space.
    pub weight: f64,
    /// What is compared: all tokens of a row as one point, or each token as a point of its own.
    pub latents: Latents,
    /// The largest number of latents compared at a step, a random batch of more; as many target rows are drawn.
    pub batch: usize,
    /// Random directions, drawn anew at each step.
    pub projections: usize,
}

impl Default for SlicedWasserstein {
    fn default() -> Self {
        Self {
            weight: 1e-2,
            latents: Latents::default(),
            batch: BATCH,
            projections: 64,
        }
    }
}

impl RegulariserKind for SlicedWasserstein {
    fn check(&self, problems: &mut Problems) {
        check_weight(self.weight, problems);
        Sampling::of(self.latents, self.batch).check(problems);
        problems.within("projections", self.projections, 1..=16_384);
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn samples(&self) -> Option<Sampling> {
        Some(Sampling::of(self.latents, self.batch))
    }

    fn begin<'a>(&'a self, given: Given<'a>) -> Result<Option<Box<dyn Regulariser + 'a>>> {
        Ok(Some(Box::new(Sliced {
            samples: Samples::new(Sampling::of(self.latents, self.batch), given)?,
            projections: self.projections,
        })))
    }
}

struct Sliced<'a> {
    samples: Samples<'a>,
    projections: usize,
}

impl Regulariser for Sliced<'_> {
    fn term(&self, Encoded { drawn, .. }: Encoded, rng: &mut Pcg64) -> Result<Tensor<1>> {
        let latents = self.samples.compared(drawn.latents.clone(), rng);
        let [rows, width] = latents.dims();
        let [targets, others] = [(); 2].map(|()| self.samples.tensor(rows, &latents, rng));
        let directions = from_f32(
            directions(self.projections, width, rng),
            [self.projections, width],
            &latents.device(),
        );
        let directions = directions.cast(latents.dtype());
        let chance = squared_distance(&targets, &others, &directions);
        Ok(squared_distance(&latents, &targets, &directions) - chance)
    }
}

/// `count` directions uniform on the unit sphere of `width` dimensions, row-major.
pub(super) fn directions(count: usize, width: usize, rng: &mut Pcg64) -> Vec<f32> {
    let mut rows = normal(rng, count * width);
    for row in rows.chunks_mut(width) {
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        for x in row {
            *x /= norm;
        }
    }
    rows
}

/// The mean `[1]` over `directions` [k, w] of the squared 2-Wasserstein distance between projections of `x` and `y`
/// [n, w]: in one dimension, the optimal transport of equally many points pairs them in order.
pub(super) fn squared_distance(x: &Tensor<2>, y: &Tensor<2>, directions: &Tensor<2>) -> Tensor<1> {
    let sorted = |points: &Tensor<2>| {
        let along = directions.clone().matmul(points.clone().transpose());
        let order = along.clone().detach().argsort(1);
        along.gather(1, order)
    };
    (sorted(x) - sorted(y)).square().mean()
}
