//! The layers of encoders and decoders.

use crate::data::DataShape;
use crate::error::Result;
use crate::persist::must_hold;
use crate::problems::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Encoder and decoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ArchitectureConfig {
    /// Fully connected layers with SiLU or gates; the decoder mirrors the encoder.
    Dense {
        /// Widths of the encoder's hidden layers, from data to latents; empty for a linear encoder and decoder.
        #[serde(default = "default_widths")]
        widths: Vec<usize>,
        /// Use gates instead of SiLU: each hidden layer is `(W x + b) * sigmoid(V x + c)` (Dauphin et al. 2017,
        /// arXiv 1612.08083).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        gated: bool,
    },
    /// 3 x 3 convolutions, each halving the image size, and a dense layer to the latents; the decoder mirrors the
    /// encoder.
    Convolutional {
        /// Channels of each convolution, from data to latents.
        #[serde(default = "default_channels")]
        channels: Vec<usize>,
    },
    /// No data: free points, initialised from N(0, I) and moved by the regulariser alone, as in the paper's
    /// controlled experiment.
    Points {
        /// Number of points.
        count: usize,
    },
}

fn default_widths() -> Vec<usize> {
    vec![256, 256]
}

fn default_channels() -> Vec<usize> {
    vec![32, 64]
}

impl Default for ArchitectureConfig {
    fn default() -> Self {
        Self::Dense {
            widths: default_widths(),
            gated: false,
        }
    }
}

impl ArchitectureConfig {
    /// Reports every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        match self {
            Self::Dense { widths, gated } => {
                problems.require(
                    widths.iter().all(|w| (1..=65_536).contains(w)),
                    "widths",
                    format!("{widths:?}"),
                    "widths of 1 to 65536",
                );
                problems.require(
                    !gated || !widths.is_empty(),
                    "gated",
                    "true without hidden layers",
                    "`widths` of at least one hidden layer, which is what is gated",
                );
            }
            Self::Convolutional { channels } => problems.require(
                !channels.is_empty() && channels.iter().all(|c| (1..=4096).contains(c)),
                "channels",
                format!("{channels:?}"),
                "one or more channel counts, 1 to 4096",
            ),
            Self::Points { count } => {
                problems.at_least("count", *count, 8);
                problems.fits("count", *count, 1);
            }
        }
    }

    /// Whether it supports images only.
    pub fn takes_images(&self) -> bool {
        matches!(self, Self::Convolutional { .. })
    }

    /// A lower bound of the parameters of a network from data of `shape` to `outputs` numbers.
    fn fewest_parameters(&self, shape: DataShape, outputs: u128) -> u128 {
        let product = |sizes: &[usize]| {
            (sizes.iter()).fold(1u128, |product, &size| product.saturating_mul(size as u128))
        };
        let DataShape {
            channels,
            height,
            width,
        } = shape;
        // sizes of the layers at both ends, and the number of elements after the last convolution
        let (first, layers, pixels) = match self {
            Self::Dense { widths, .. } => (product(&[channels, height, width]), widths, 1),
            Self::Convolutional { channels: stages } => {
                let halved = |size: usize| stages.iter().fold(size, |n, _| n.div_ceil(2));
                let pixels = product(&[halved(height), halved(width)]);
                (channels as u128, stages, pixels)
            }
            Self::Points { .. } => return 0,
        };
        let (mut from, mut fewest) = (first, 0u128);
        for &to in layers {
            fewest = fewest.saturating_add(from.saturating_mul(to as u128));
            from = to as u128;
        }
        fewest.saturating_add(from.saturating_mul(pixels).saturating_mul(outputs))
    }

    /// Checks the header of the file of weights `path`, of a network from data of `shape`, divided by `maximum`, to
    /// `outputs` numbers, before memory is allocated that the file cannot fill. `problems` are those of other
    /// fields; `remedy` says how to obtain a readable file.
    ///
    /// # Errors
    /// Input errors that name the file and every field out of range.
    pub fn check_stored(
        &self,
        mut problems: Problems,
        shape: DataShape,
        maximum: f64,
        outputs: u128,
        path: &Path,
        remedy: &str,
    ) -> Result<()> {
        problems.section("architecture", |p| self.check(p));
        problems.section("shape", |p| shape.check(p));
        problems.positive("maximum", maximum, "255");
        problems.in_file(path)?;
        must_hold(path, self.fewest_parameters(shape, outputs), remedy)
    }
}
