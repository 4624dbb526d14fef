//! What a stage reads an artifact for.

use super::stage::Stage;
use serde::{Deserialize, Serialize};

/// What a stage reads an artifact for; two artifacts of one stage are told apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The prior.
    Flow,
    /// The autoencoder that is measured.
    Autoencoder,
    /// The autoencoder that it is compared with.
    Unaligned,
    /// What a flow is pretrained on.
    Features,
    /// What judges latents.
    Classifier,
}

impl Role {
    /// The name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Autoencoder => "autoencoder",
            Self::Unaligned => "unaligned",
            Self::Features => "features",
            Self::Classifier => "classifier",
        }
    }

    /// What messages call an artifact of `stage` in this role: the stage alone where it says enough.
    pub fn of(self, stage: Stage) -> String {
        match (self, stage) {
            (Self::Flow, Stage::PretrainFlow)
            | (Self::Autoencoder, Stage::TrainAutoencoder)
            | (Self::Classifier, Stage::TrainClassifier) => stage.to_string(),
            _ => format!("{stage} ({})", self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_said_where_the_stage_leaves_it_open() {
        assert_eq!(Role::Flow.of(Stage::PretrainFlow), "pretrain-flow");
        let unaligned = Role::Unaligned.of(Stage::TrainAutoencoder);
        assert_eq!(unaligned, "train-autoencoder (unaligned)");
    }

    #[test]
    fn the_names_are_those_of_manifests() {
        for role in [
            Role::Flow,
            Role::Autoencoder,
            Role::Unaligned,
            Role::Features,
            Role::Classifier,
        ] {
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
    }
}
