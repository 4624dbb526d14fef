//! Posteriors q(z|x): kinds of noise in an encoder's latents, each with an exact log-density.
//!
//! A new kind is a file of its own and a few lines in this one: `mod`, an arm of [`PosteriorConfig`], of
//! [`PosteriorConfig::kind`] and of [`PosteriorHead::new`], and an example in [`PosteriorConfig::examples`], over
//! which the conformance tests run. One with weights of its own is also an arm of [`PosteriorHead`].

#[cfg(test)]
mod conformance;
mod deterministic;
mod fixed_noise;
mod gaussian;
mod householder;
mod iaf;
mod kind;
mod linear_iaf;
mod masked;
mod planar;
mod posterior;
mod radial;
mod warped;

use crate::priors::PointShape;
use crate::problems::{Problems, kind_of};
use crate::random::Streams;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
pub use deterministic::Deterministic;
pub use fixed_noise::FixedNoise;
pub use gaussian::{Gaussian, LOG_VARIANCE};
pub use householder::Householder;
pub use iaf::Iaf;
use kind::Plain;
pub use kind::{Head, PosteriorKind};
pub use linear_iaf::LinearIaf;
pub use planar::Planar;
pub use posterior::{Draw, Posterior, mean_over_elements};
pub use radial::Radial;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The encoder's posterior.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schemars(rename = "Posterior")]
pub enum PosteriorConfig {
    /// One latent per row.
    Deterministic(Deterministic),
    /// Mean and log-variance of a diagonal Gaussian, sampled in training.
    Gaussian(Gaussian),
    /// A mean with added noise of a fixed standard deviation (Unified Latents, arXiv 2602.17270): latents cannot
    /// contract below it.
    FixedNoise(FixedNoise),
    /// A Gaussian with a full covariance over all numbers of a row: a draw of a diagonal Gaussian times a
    /// triangular matrix (linear inverse autoregressive flow, arXiv 1706.02326).
    LinearIaf(LinearIaf),
    /// A Gaussian with reflected axes (Householder flow, arXiv 1611.09630).
    Householder(Householder),
    /// A Gaussian bent along directions (planar flow, arXiv 1505.05770).
    Planar(Planar),
    /// A Gaussian expanded around points or contracted towards them (radial flow, arXiv 1505.05770).
    Radial(Radial),
    /// A draw of a Gaussian transformed by masked networks (inverse autoregressive flow, arXiv 1606.04934).
    Iaf(Iaf),
}

/// Maximum encoder outputs per row besides the means; each needs a row of weights in the encoder's last layer.
const MOST_OTHERS: usize = 1 << 19;

impl Default for PosteriorConfig {
    fn default() -> Self {
        Self::Deterministic(Deterministic {})
    }
}

impl PosteriorConfig {
    /// The configuration as a trait object.
    pub fn kind(&self) -> &dyn PosteriorKind {
        match self {
            Self::Deterministic(config) => config,
            Self::Gaussian(config) => config,
            Self::FixedNoise(config) => config,
            Self::LinearIaf(config) => config,
            Self::Householder(config) => config,
            Self::Planar(config) => config,
            Self::Radial(config) => config,
            Self::Iaf(config) => config,
        }
    }

    /// Reports, under `posterior`, every value out of range and an unsupported shape of a row's latents.
    pub fn check(&self, shape: PointShape, problems: &mut Problems) {
        let before = problems.messages().len();
        problems.section("posterior", |p| self.kind().check(p));
        if let Err(expected) = self.kind().check_shape(shape) {
            let found = format!(
                "{} with {} tokens of width {}",
                self.name(),
                shape.tokens,
                shape.width
            );
            problems.add("posterior.kind", found, &expected);
        } else if problems.messages().len() == before
            && shape.tokens.checked_mul(shape.width).is_some()
        {
            let others = self.kind().others(shape);
            problems.require(
                others <= MOST_OTHERS,
                "posterior.kind",
                format!(
                    "{}, for which the encoder outputs {others} numbers per row besides the means",
                    self.name()
                ),
                &format!(
                    "at most {MOST_OTHERS}: fewer steps or matrices, or latents of fewer numbers"
                ),
            );
        }
    }

    /// An example of each kind, used by the conformance tests.
    pub fn examples() -> Vec<Self> {
        vec![
            Self::Deterministic(Deterministic {}),
            Self::Gaussian(Gaussian {}),
            Self::FixedNoise(FixedNoise::default()),
            Self::LinearIaf(LinearIaf { matrices: 3 }),
            Self::Householder(Householder { steps: 3 }),
            Self::Planar(Planar { steps: 3 }),
            Self::Radial(Radial { steps: 3 }),
            Self::Iaf(Iaf {
                steps: 2,
                widths: vec![6, 5],
            }),
        ]
    }

    /// Name of the kind, as in `kind: NAME`.
    pub fn name(&self) -> String {
        kind_of(self)
    }
}

/// The head of a kind; its weights are part of the autoencoder.
#[derive(Module, Debug)]
pub enum PosteriorHead {
    /// Of a kind without weights.
    Plain(Plain),
    Householder(householder::Head),
    Iaf(iaf::Head),
}

impl PosteriorHead {
    /// The head of `config` for the latents of a row, initialised from `streams`.
    pub fn new(
        config: &PosteriorConfig,
        shape: PointShape,
        streams: Streams,
        device: &Device,
    ) -> Self {
        match config {
            PosteriorConfig::Deterministic(config) => Self::Plain(Plain::new(config, shape)),
            PosteriorConfig::Gaussian(config) => Self::Plain(Plain::new(config, shape)),
            PosteriorConfig::FixedNoise(config) => Self::Plain(Plain::new(config, shape)),
            PosteriorConfig::LinearIaf(config) => Self::Plain(Plain::new(config, shape)),
            PosteriorConfig::Planar(config) => Self::Plain(Plain::new(config, shape)),
            PosteriorConfig::Radial(config) => Self::Plain(Plain::new(config, shape)),
            PosteriorConfig::Householder(config) => {
                Self::Householder(householder::Head::new(config, shape, streams, device))
            }
            PosteriorConfig::Iaf(config) => {
                Self::Iaf(iaf::Head::new(config, shape, streams, device))
            }
        }
    }
}

impl Head for PosteriorHead {
    fn posterior(&self, means: Tensor<2>, others: Option<Tensor<2>>) -> Box<dyn Posterior> {
        match self {
            Self::Plain(head) => head.posterior(means, others),
            Self::Householder(head) => head.posterior(means, others),
            Self::Iaf(head) => head.posterior(means, others),
        }
    }
}
