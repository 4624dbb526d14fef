//! Stage 3: likelihoods under the flow, and whether the alignment loss is a surrogate for them.

use crate::context::{Context, Summary};
use crate::error::Result;
use crate::problems::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Estimate likelihoods under the flow and compare them with the alignment loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Points a region (held-out features, encoder latents).
    pub points: usize,
    /// (t, noise) draws of the alignment loss, shared by all points.
    pub draws: usize,
    /// Absolute and relative tolerance of the ODE solver (Dormand-Prince).
    pub tolerance: f64,
    /// Bootstrap resamples behind each interval.
    pub bootstrap: usize,
    /// Cells along each side of the grid in two dimensions; 0 for no grid.
    pub grid_cells: usize,
    /// The grid covers the range of the held-out features and this share more on each side.
    pub grid_margin: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            points: 500,
            draws: 256,
            tolerance: 1e-5,
            bootstrap: 1000,
            grid_cells: 50,
            grid_margin: 0.2,
        }
    }
}

impl Config {
    /// Notes every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.require(self.points >= 8, "points", self.points, "at least 8");
        problems.require(
            self.draws >= 2 && self.draws.is_multiple_of(2),
            "draws",
            self.draws,
            "an even number, at least 2",
        );
        problems.require(
            (1e-12..=1e-1).contains(&self.tolerance),
            "tolerance",
            self.tolerance,
            "a number in [1e-12, 0.1], such as 1e-5",
        );
        problems.require(
            self.bootstrap >= 100,
            "bootstrap",
            self.bootstrap,
            "at least 100",
        );
        problems.require(
            self.grid_cells != 1 && self.grid_cells <= 1000,
            "grid_cells",
            self.grid_cells,
            "0, or 2 to 1000",
        );
        problems.require(
            self.grid_margin >= 0.0 && self.grid_margin.is_finite(),
            "grid_margin",
            self.grid_margin,
            "zero or a positive number",
        );
    }
}

/// Estimates likelihoods under the flow in `flow`, of its held-out features and of the latents in
/// `autoencoder`, and fills the directory of `context`.
pub fn run(
    config: &Config,
    flow: &Path,
    autoencoder: Option<&Path>,
    context: &Context,
) -> Result<Summary> {
    let _ = (config, flow, autoencoder, context);
    todo!()
}
