//! Priors: densities over points [n, T, d] that can be sampled, and that map points to noise and back.
//!
//! A new kind is a file of its own and a few lines in this one: `mod`, an arm of [`ModelConfig`], and an arm of
//! [`ModelConfig::kind`]. The conformance tests run over [`ModelConfig::examples`].

mod artifact;
mod autoregressive;
mod bijection;
mod bits;
mod condition;
#[cfg(test)]
mod conformance;
mod coupling;
mod decoding;
mod denoising;
mod drawing;
mod features;
mod field;
mod flow_matching;
mod gumbel_max;
mod kept;
mod kind;
mod layout;
mod logit;
mod maximum_likelihood;
mod mixture;
mod noise;
mod normal;
mod normalisation;
mod of_sequences;
mod placed;
mod prior;
mod recurrent;
mod seqflow;
mod sequence_file;
mod sequence_model;
mod sequence_vae;
mod spread;
mod witness;

use crate::problems::kind_of;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use artifact::exact_mixture;
pub use artifact::{Flow, Stored, stored};
pub use autoregressive::{StarFlow, TarFlow, TarFlowSteps};
pub use bits::Bits;
pub use condition::{ConditionKind, Conditions};
pub use denoising::denoised;
pub(crate) use drawing::add_up;
pub use drawing::{AwayFrom, Carried, Guidance, SampleOptions, Steps, Sweeps, Way, Ways};
pub use field::{
    ROWS_PER_EVALUATION, VelocityField, autodiff_divergence, difference_divergence, difference_jvps,
};
pub use flow_matching::{
    Evaluation, ExactMixture, FitConfig, FlowMatching, ImportConfig, MOST_INTERVALS, Tabulated,
    TimeDirection, VelocityNetwork, VelocityNetworkConfig, flow_matching_loss, import, interpolate,
    negative_log_likelihood, points_of,
};
pub use gumbel_max::{GumbelMax, GumbelMaxModel};
pub use kept::{KeptPoints, about_points};
pub use kind::{Batch, Fit, Fitted, Offers, PriorConfig, Schedule};
pub use layout::{Cut, Layout};
pub use logit::Logit;
pub use noise::{Noise, Noising};
pub use of_sequences::{FitSequences, FitsSequences, FittedSequences, Likelihoods};
pub use prior::{
    Divergence, Halving, Nll, NllKind, NllOptions, Noised, Placement, PointShape, Points, Prior,
    Progress, normal_nll,
};
pub use seqflow::{EmbeddingConfig, Scored, SeqFlow, SequenceFlow};
pub use sequence_model::{open_fitted_sequences, open_sequence_model};
pub use sequence_vae::{SequenceVae, SequenceVaeModel};
pub(crate) use spread::Spread;
pub use witness::Witness;

/// The model fitted to the target features, by `kind`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ModelConfig {
    /// Flow matching: a velocity network and its probability-flow ODE.
    FlowMatching(FlowMatching),
    /// The standard normal distribution; nothing is trained.
    Normal(normal::Normal),
    /// A mixture of Gaussians with full covariances.
    Mixture(mixture::Mixture),
    /// A coupling flow (RealNVP, neural spline flow), conditional if conditions are given.
    Coupling(coupling::Coupling),
    /// TarFlow: causal transformers over the tokens of a point, with exact likelihoods.
    #[serde(rename = "tarflow")]
    TarFlow(autoregressive::TarFlow),
    /// STARFlow: a deep block next to the noise and shallow ones next to the data.
    #[serde(rename = "starflow")]
    StarFlow(autoregressive::StarFlow),
    /// SeqFlow: an autoregressive flow over sequences of tokens, with exact decoding of latents.
    #[serde(rename = "seqflow")]
    SeqFlow(seqflow::SeqFlow),
    /// A variational autoencoder of sequences with an LSTM on each side; the baseline for `seqflow`.
    SequenceVae(sequence_vae::SequenceVae),
    /// An autoregressive LSTM model of sequences whose latents are the noise used to draw tokens; decoding is
    /// exact.
    GumbelMax(gumbel_max::GumbelMax),
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self::FlowMatching(FlowMatching::default())
    }
}

impl ModelConfig {
    /// The configuration as a trait object.
    pub fn kind(&self) -> &dyn PriorConfig {
        match self {
            Self::FlowMatching(config) => config,
            Self::Normal(config) => config,
            Self::Mixture(config) => config,
            Self::Coupling(config) => config,
            Self::TarFlow(config) => config,
            Self::StarFlow(config) => config,
            Self::SeqFlow(config) => config,
            Self::SequenceVae(config) => config,
            Self::GumbelMax(config) => config,
        }
    }

    /// The configuration of a sequence model; None for kinds that model numbers only.
    pub fn of_sequences(&self) -> Option<&dyn FitsSequences> {
        match self {
            Self::SeqFlow(config) => Some(config),
            Self::SequenceVae(config) => Some(config),
            Self::GumbelMax(config) => Some(config),
            _ => None,
        }
    }

    /// Whether it is a density over points of numbers.
    pub fn of_numbers(&self) -> bool {
        !matches!(self, Self::SequenceVae(_) | Self::GumbelMax(_))
    }

    /// Name of the kind, as in `kind: NAME`.
    pub fn name(&self) -> String {
        kind_of(self)
    }

    /// A small example of each kind of density over points, used by the conformance tests.
    pub fn examples() -> Vec<Self> {
        let [affine, splines] = coupling::Coupling::examples();
        let [lstm, transformer] = seqflow::SeqFlow::examples();
        vec![
            Self::FlowMatching(FlowMatching::example()),
            Self::Normal(normal::Normal::default()),
            Self::Mixture(mixture::Mixture { components: 3 }),
            Self::Coupling(affine),
            Self::Coupling(splines),
            Self::TarFlow(autoregressive::TarFlow::example()),
            Self::StarFlow(autoregressive::StarFlow::example()),
            Self::SeqFlow(lstm),
            Self::SeqFlow(transformer),
        ]
    }
}
