//! Configuration of the stage.

use crate::alignment::{TRUNCATION, check_draws, check_truncation};
use crate::inference::ScoringConfig;
use crate::likelihood::Precision;
use crate::priors::Divergence;
use crate::problems::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Estimate likelihoods under the flow and compare them with the alignment loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "EstimateNll")]
pub struct Config {
    /// The file of another experiment, relative to this one, whose test latents form a further region, for
    /// comparison with aligned latents.
    pub unaligned: Option<PathBuf>,
    /// The file of another experiment, relative to this one: the exact NLL under its prior over the same
    /// features, such as `model: {kind: coupling}`, is reported as a second likelihood beside the flow's.
    pub witness: Option<PathBuf>,
    /// Points per region (test features, latents of each part), in whole items.
    pub points: usize,
    /// Number of points in the uniform box around the features; 0 for no box.
    pub box_points: usize,
    /// Cells along each side of the grid in two dimensions; 0 for no grid.
    pub grid_cells: usize,
    /// Margin of box and grid around the range of the test features, as a share of it on each side.
    pub grid_margin: f64,
    /// (t, noise) draws of the alignment loss under each weighting, shared by all points: 8 independent rules
    /// whose spread gives the error due to the draws.
    pub draws: usize,
    /// The largest ratio R = t / (1 - t) in the likelihood weighting: a few times the inverse of the
    /// smallest scale of the features.
    pub truncation: f64,
    /// Tolerance of an NLL in nats: the remaining change of its integral when its nodes are doubled.
    pub tolerance: f64,
    /// How the divergence of the velocity is evaluated.
    pub divergence: Divergence,
    /// Numbers N of levels, such as [10, 100, 1000]: the flow is read as a Markovian hierarchical VAE with N
    /// levels, and its negative ELBO on test features is reported beside their NLL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<usize>,
    /// The precision of likelihoods and losses.
    pub precision: Precision,
    /// Points per region at which the gradients of loss and NLL are compared; 0 for none.
    pub gradient_points: usize,
    /// Points per region for self-checks: solving again with every step halved, and comparing the divergence with
    /// autodiff, central differences and Hutchinson's estimate; 0 for none.
    pub check_points: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            unaligned: None,
            witness: None,
            points: 500,
            box_points: 200,
            grid_cells: 50,
            grid_margin: 0.2,
            draws: 512,
            truncation: TRUNCATION,
            tolerance: 1e-5,
            divergence: Divergence::Exact,
            levels: Vec::new(),
            precision: Precision::F32,
            gradient_points: 32,
            check_points: 32,
        }
    }
}

impl Config {
    /// The scoring options.
    pub fn scoring(&self) -> ScoringConfig {
        ScoringConfig {
            draws: self.draws,
            truncation: self.truncation,
            tolerance: self.tolerance,
            divergence: self.divergence,
            precision: self.precision,
        }
    }

    /// Reports every value out of range.
    pub(super) fn check_values(&self, problems: &mut Problems) {
        problems.at_least("points", self.points, 8);
        problems.fits("box_points", self.box_points, 1);
        check_draws(problems, self.draws);
        check_truncation(problems, self.truncation);
        for &levels in &self.levels {
            problems.within("levels", levels, 2..=100_000);
        }
        problems.section("divergence", |p| self.divergence.check(p));
        let (least, why) = match self.precision {
            Precision::F32 => (
                1e-7,
                "[1e-7, 0.1] such as 1e-5 (less needs `precision: f64`)",
            ),
            Precision::F64 => (1e-12, "[1e-12, 0.1] such as 1e-8"),
        };
        problems.require(
            (least..=1e-1).contains(&self.tolerance),
            "tolerance",
            self.tolerance,
            &format!("a number in {why}"),
        );
        problems.require(
            self.box_points == 0 || self.box_points >= 8,
            "box_points",
            self.box_points,
            "0, or at least 8",
        );
        problems.require(
            self.grid_cells != 1 && self.grid_cells <= 1000,
            "grid_cells",
            self.grid_cells,
            "0, or 2 to 1000",
        );
        problems.not_negative("grid_margin", self.grid_margin, "0.2");
    }
}
