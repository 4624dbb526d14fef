//! The size of the velocity network.

use crate::problems::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The AdaLN residual network of Li et al. (after MAR).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VelocityNetworkConfig {
    /// Width of the residual stream.
    pub width: usize,
    /// Number of residual blocks.
    pub blocks: usize,
    /// Width of the sinusoidal embedding of time; even.
    pub frequencies: usize,
    /// Factor applied to time in `[0, 1]` before the embedding, whose frequencies run from 1 down to 1 /
    /// 10,000. A larger scale resolves finer times and makes the velocity rougher in time: on the ring,
    /// 1000 trains no better than 100 and takes 2.6 times as many evaluations to integrate.
    pub time_scale: f64,
}

impl Default for VelocityNetworkConfig {
    fn default() -> Self {
        Self {
            width: 256,
            blocks: 4,
            frequencies: 256,
            time_scale: 100.0,
        }
    }
}

impl VelocityNetworkConfig {
    /// Number of parameters of a network over points of `dimensions` dimensions, each under a condition
    /// of width `columns`; 0 for none.
    pub fn parameters(&self, dimensions: usize, columns: usize) -> u128 {
        let [width, blocks, frequencies, dimensions] =
            [self.width, self.blocks, self.frequencies, dimensions].map(|n| n as u128);
        let linear = |from: u128, to: u128| (from + 1).saturating_mul(to);
        let time = linear(frequencies, width) + linear(width, width);
        let condition = width.saturating_mul(columns as u128);
        let block = 2 * width + 2 * linear(width, width) + linear(width, 3 * width);
        let output = linear(width, 2 * width).saturating_add(linear(width, dimensions));
        (time + blocks.saturating_mul(block) + output)
            .saturating_add(linear(dimensions, width))
            .saturating_add(condition)
    }

    /// Reports every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.within("width", self.width, 1..=16_384);
        problems.within("blocks", self.blocks, 1..=256);
        problems.require(
            (4..=16_384).contains(&self.frequencies) && self.frequencies.is_multiple_of(2),
            "frequencies",
            self.frequencies,
            "an even number, 4 to 16384",
        );
        problems.positive("time_scale", self.time_scale, "100");
    }
}
