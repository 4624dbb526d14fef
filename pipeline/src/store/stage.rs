//! The stages by name.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A stage by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Trains a classifier.
    TrainClassifier,
    /// Pretrains (or imports) a flow.
    PretrainFlow,
    /// Trains an autoencoder against a flow.
    TrainAutoencoder,
    /// Estimates likelihoods under a flow.
    EstimateNll,
    /// Measures how useful latents are.
    EvaluateLatents,
}

impl Stage {
    /// In the order in which they run.
    pub const ALL: [Self; 5] = [
        Self::TrainClassifier,
        Self::PretrainFlow,
        Self::TrainAutoencoder,
        Self::EstimateNll,
        Self::EvaluateLatents,
    ];

    /// The name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::TrainClassifier => "train-classifier",
            Self::PretrainFlow => "pretrain-flow",
            Self::TrainAutoencoder => "train-autoencoder",
            Self::EstimateNll => "estimate-nll",
            Self::EvaluateLatents => "evaluate-latents",
        }
    }

    /// The name of its section in a configuration.
    pub fn section(self) -> &'static str {
        match self {
            Self::TrainClassifier => "train_classifier",
            Self::PretrainFlow => "pretrain_flow",
            Self::TrainAutoencoder => "train_autoencoder",
            Self::EstimateNll => "estimate_nll",
            Self::EvaluateLatents => "evaluate_latents",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}
