//! Sizes of jobs.

use latent_align_stages::priors::{FitConfig, VelocityNetworkConfig};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A velocity network and the points of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// The dimension of a point.
    pub dimensions: usize,
    /// The width of the residual stream.
    pub width: usize,
    pub blocks: usize,
    /// Points per step.
    pub batch: usize,
}

impl Size {
    /// The ring: points in the plane.
    pub const RING: Self = Self {
        dimensions: 2,
        width: 512,
        blocks: 4,
        batch: 256,
    };

    /// Tokens of 32 dimensions.
    pub const fn tokens(width: usize, batch: usize) -> Self {
        Self {
            dimensions: 32,
            width,
            blocks: 6,
            batch,
        }
    }

    /// The sizes of training and alignment steps.
    pub const ALL: [Self; 7] = [
        Self::RING,
        Self::tokens(256, 256),
        Self::tokens(256, 1024),
        Self::tokens(256, 4096),
        Self::tokens(1024, 256),
        Self::tokens(1024, 1024),
        Self::tokens(1024, 4096),
    ];

    /// The paper's network, with more points than a CPU can process in reasonable time.
    pub const PAPER: [Self; 2] = [Self::tokens(1024, 1024), Self::tokens(1024, 8192)];

    /// The network, with default settings otherwise.
    pub fn network(&self) -> VelocityNetworkConfig {
        VelocityNetworkConfig {
            width: self.width,
            blocks: self.blocks,
            ..Default::default()
        }
    }

    /// The training of a flow of this size, with default settings otherwise.
    pub fn fit(&self) -> FitConfig {
        let defaults = FitConfig::default();
        FitConfig {
            network: self.network(),
            batch: self.batch,
            times: defaults.times.min(self.batch),
            ..defaults
        }
    }

    /// The necessary arithmetic of one training step, in floating-point operations.
    ///
    /// For w the width, d the dimensions, K the times of a step and F the frequencies of their
    /// embedding, in multiply-adds of two operations each:
    ///
    /// - a row: 2 w^2 per block, forward, for the gradient of the input and for that of the weights; d w
    ///   of the input layer twice (the gradient of the points is not needed), d w of the output layer
    ///   three times;
    /// - a time: 3 w^2 per block, 2 w^2 of the output's modulation and w^2 of the embedding three times,
    ///   F w twice.
    ///
    /// Elementwise operations and the optimiser are not counted.
    pub fn necessary_operations(&self) -> f64 {
        let fit = self.fit();
        let [w, d, blocks, rows, times, frequencies] = [
            self.width,
            self.dimensions,
            self.blocks,
            self.batch,
            fit.times,
            fit.network.frequencies,
        ]
        .map(|n| n as f64);
        let row = 3.0 * 2.0 * w * w * blocks + 5.0 * d * w;
        let time = 3.0 * w * w * (3.0 * blocks + 2.0 + 1.0) + 2.0 * frequencies * w;
        2.0 * (rows * row + times * time)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self {
            dimensions,
            width,
            blocks,
            batch,
        } = self;
        write!(
            f,
            "d {dimensions}, width {width}, {blocks} blocks, {batch} points"
        )
    }
}
