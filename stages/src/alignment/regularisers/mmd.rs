//! The maximum mean discrepancy to target samples.

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

/// Rows of the target from which the median distance is estimated.
const ROWS: usize = 512;

/// The squared maximum mean discrepancy between the latents of a step and target features, unbiased (Gretton et al.
/// 2012, eq. 3), with the mean over `bandwidths` h of the kernel `exp(-|x - y|^2 / (2 h^2))`. No unit: 0 for equal
/// distributions, at most 2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mmd {
    /// Weight of the term (without unit).
    pub weight: f64,
    /// What is compared: all tokens of a row as one point, or each token as a point of its own.
    pub latents: Latents,
    /// Target rows per step, and the largest number of latents compared with them: a random batch of more.
    pub batch: usize,
    /// Bandwidths of the kernel, in units of `scale`.
    pub bandwidths: Vec<f64>,
    /// The unit of the bandwidths, a length in the latents' space; by default the median distance between target
    /// rows.
    pub scale: Option<f64>,
}

impl Default for Mmd {
    fn default() -> Self {
        Self {
            weight: 3e-2,
            latents: Latents::default(),
            batch: BATCH,
            bandwidths: vec![0.25, 0.5, 1.0, 2.0],
            scale: None,
        }
    }
}

impl RegulariserKind for Mmd {
    fn check(&self, problems: &mut Problems) {
        check_weight(self.weight, problems);
        Sampling::of(self.latents, self.batch).check(problems);
        let positive = |h: &f64| h.is_finite() && *h > 0.0;
        problems.require(
            !self.bandwidths.is_empty() && self.bandwidths.iter().all(positive),
            "bandwidths",
            format!("{:?}", self.bandwidths),
            "one or more positive numbers, such as [0.5, 1, 2]",
        );
        if let Some(scale) = self.scale {
            problems.positive("scale", scale, "1.0");
        }
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn samples(&self) -> Option<Sampling> {
        Some(Sampling::of(self.latents, self.batch))
    }

    fn begin<'a>(&'a self, given: Given<'a>) -> Result<Option<Box<dyn Regulariser + 'a>>> {
        let samples = Samples::new(Sampling::of(self.latents, self.batch), given)?;
        let scale = self.scale.unwrap_or_else(|| {
            let mut rng = given.streams.at("median distance", 0);
            let count = ROWS.min(self.batch);
            median_distance(&samples.draw(count, &mut rng), samples.width())
        });
        Ok(Some(Box::new(Discrepancy {
            samples,
            kernel: Kernel {
                bandwidths: self.bandwidths.iter().map(|h| h * scale).collect(),
            },
        })))
    }
}

struct Discrepancy<'a> {
    samples: Samples<'a>,
    kernel: Kernel,
}

impl Regulariser for Discrepancy<'_> {
    fn term(&self, Encoded { drawn, .. }: Encoded, rng: &mut Pcg64) -> Result<Tensor<1>> {
        let [latents, targets] = self.samples.pair(drawn.latents.clone(), rng);
        Ok(self.kernel.squared_discrepancy(&latents, &targets))
    }
}

/// The mean of Gaussian kernels.
pub(super) struct Kernel {
    pub bandwidths: Vec<f64>,
}

impl Kernel {
    /// The kernel of pairs, from their squared distances.
    fn of(&self, squared: Tensor<2>) -> Tensor<2> {
        let each = 1.0 / self.bandwidths.len() as f64;
        let kernels = self.bandwidths.iter().map(|h| {
            let kernel = squared.clone().mul_scalar(-0.5 / (h * h)).exp();
            kernel.mul_scalar(each)
        });
        kernels.reduce(|a, b| a + b).expect("checked: one at least")
    }

    /// The unbiased estimate `[1]` for the distributions of `x` [n, w] and `y` [m, w].
    pub fn squared_discrepancy(&self, x: &Tensor<2>, y: &Tensor<2>) -> Tensor<1> {
        let between = self.of(squared_distances(x, y)).mean();
        let within = |x: &Tensor<2>| mean_of_pairs(x, |squared| self.of(squared));
        within(x) + within(y) - between.mul_scalar(2.0)
    }
}

/// The median distance between different rows, row-major [n, width]; 1 if it is zero, since any bandwidth then does.
fn median_distance(rows: &[f32], width: usize) -> f64 {
    let rows: Vec<&[f32]> = rows.chunks(width).collect();
    let pairs = (rows.iter().enumerate()).flat_map(|(i, x)| rows[..i].iter().map(move |y| (x, y)));
    let mut distances: Vec<f32> = pairs
        .map(|(x, y)| {
            let squares = x.iter().zip(*y).map(|(a, b)| (a - b) * (a - b));
            squares.sum::<f32>().sqrt()
        })
        .collect();
    let middle = distances.len() / 2;
    let median = *distances.select_nth_unstable_by(middle, f32::total_cmp).1;
    match median > 0.0 {
        true => f64::from(median),
        false => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::median_distance;

    /// Fails if a row is paired with itself, or coordinates are mixed up.
    #[test]
    fn the_median_distance_is_over_pairs_of_different_rows() {
        // distances 3, 4, 5
        assert_eq!(median_distance(&[0.0, 0.0, 3.0, 0.0, 0.0, 4.0], 2), 4.0);
        assert_eq!(median_distance(&[2.0; 6], 2), 1.0);
    }
}
