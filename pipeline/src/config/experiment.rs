//! What a YAML file says: one section per stage.

use latent_align_stages::devices::{DeviceChoice, forms};
use latent_align_stages::problems::Problems;
use latent_align_stages::stages::{
    estimate_nll, evaluate_latents, pretrain_flow, train_autoencoder, train_classifier,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// One experiment: a flow, an autoencoder aligned with it, what the likelihoods say, and how useful the
/// latents are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Names the folder under artifacts/runs: 1 to 64 letters, digits, `.`, `_` or `-`.
    pub name: String,
    /// The seed every random stream derives from.
    #[serde(default)]
    pub seed: u64,
    /// Where tensors live. Not part of an artifact's identity.
    #[serde(default = "cpu")]
    #[schemars(description = device_description())]
    pub device: String,
    /// When the state of a training is kept, to go on from after a crash. Not part of an artifact's
    /// identity.
    #[serde(default)]
    pub checkpoints: CheckpointConfig,
    /// Use this finished flow instead of pretraining one: the start of its fingerprint (four or more
    /// characters), or the path of its artifact relative to this file.
    #[serde(default)]
    pub flow: Option<String>,
    /// Stage 1; at most one of `flow` and `pretrain_flow` is given.
    #[serde(default)]
    pub pretrain_flow: Option<pretrain_flow::Config>,
    /// Stage 2; left out when absent.
    #[serde(default)]
    pub train_autoencoder: Option<train_autoencoder::Config>,
    /// Stage 3; left out when absent, `{}` for all its defaults.
    #[serde(default)]
    pub estimate_nll: Option<estimate_nll::Config>,
    /// A classifier whose features judge latents, or are the target of a flow; needs no flow itself.
    #[serde(default)]
    pub train_classifier: Option<train_classifier::Config>,
    /// How useful the latents are, judged by a classifier; left out when absent, `{}` for all its
    /// defaults.
    #[serde(default)]
    pub evaluate_latents: Option<evaluate_latents::Config>,
}

fn device_description() -> String {
    let forms = forms("`");
    format!("Where tensors live: {forms}. Not part of an artifact's identity.")
}

/// When the state of a training is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Checkpoints")]
pub struct CheckpointConfig {
    /// Seconds of training between two checkpoints; more where writing them would take more than a
    /// twentieth of the time.
    pub every_seconds: f64,
    /// Steps between two checkpoints, besides.
    pub every_steps: Option<u64>,
    /// How many of the newest are kept, besides the one with the least held-out loss.
    pub keep: usize,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self {
            every_seconds: 60.0,
            every_steps: None,
            keep: 2,
        }
    }
}

impl CheckpointConfig {
    /// Time between two checkpoints.
    pub fn interval(self) -> Duration {
        Duration::try_from_secs_f64(self.every_seconds).unwrap_or(Duration::MAX)
    }

    fn check(&self, problems: &mut Problems) {
        problems.require(
            (0.1..=1e6).contains(&self.every_seconds),
            "every_seconds",
            self.every_seconds,
            "0.1 to 1e6 seconds, such as 60",
        );
        problems.require(
            self.every_steps != Some(0),
            "every_steps",
            0,
            "a number of steps, or nothing",
        );
        problems.require(
            (1..=1000).contains(&self.keep),
            "keep",
            self.keep,
            "1 to 1000 checkpoints, such as 2",
        );
    }
}

fn cpu() -> String {
    "cpu".into()
}

impl Experiment {
    /// Changes every path in the sections: inputs, and the files of other experiments.
    pub fn change_paths(&mut self, mut change: impl FnMut(&mut PathBuf)) {
        if let Some(stage) = &mut self.pretrain_flow {
            stage.inputs_mut().into_iter().for_each(&mut change);
            let experiments = stage.experiments_mut().into_iter().flatten();
            experiments.for_each(&mut change);
        }
        if let Some(stage) = &mut self.train_autoencoder {
            stage.inputs_mut().into_iter().for_each(&mut change);
        }
        if let Some(stage) = &mut self.estimate_nll {
            let experiments = stage.experiments_mut().into_iter().flatten();
            experiments.for_each(&mut change);
        }
        if let Some(stage) = &mut self.train_classifier {
            stage.inputs_mut().into_iter().for_each(&mut change);
        }
        if let Some(stage) = &mut self.evaluate_latents {
            let experiments = stage.experiments_mut().into_iter().flatten();
            experiments.for_each(&mut change);
        }
    }

    /// Every value that is out of range, section by section.
    pub fn problems(&self) -> Problems {
        let mut problems = Problems::new();
        let p = &mut problems;
        p.require(is_name(&self.name), "name", &self.name, NAME);
        p.require(
            self.device.parse::<DeviceChoice>().is_ok(),
            "device",
            &self.device,
            &forms("`"),
        );
        p.section("checkpoints", |p| self.checkpoints.check(p));
        match (&self.flow, &self.pretrain_flow) {
            (None, None) => p.require(
                !self.needs_flow(),
                "pretrain_flow",
                "neither `pretrain_flow` nor `flow`",
                "one of them: a section that pretrains a flow, or a finished flow to use",
            ),
            (Some(_), Some(_)) => p.add(
                "flow",
                "both `flow` and `pretrain_flow`",
                "one of them: a finished flow to use, or a section that pretrains one",
            ),
            (Some(flow), None) => p.require(
                !flow.trim().is_empty(),
                "flow",
                "nothing",
                "the start of a fingerprint, or the path of an artifact",
            ),
            (None, Some(_)) => {}
        }
        if let Some(stage) = &self.pretrain_flow {
            p.section("pretrain_flow", |p| stage.check(p));
        }
        if let Some(stage) = &self.train_autoencoder {
            p.section("train_autoencoder", |p| stage.check(p));
            self.check_what_a_regulariser_asks(stage, p);
        }
        if let Some(stage) = &self.estimate_nll {
            p.section("estimate_nll", |p| stage.check(p));
        }
        if let Some(stage) = &self.train_classifier {
            p.section("train_classifier", |p| stage.check(p));
        }
        if let Some(stage) = &self.evaluate_latents {
            p.section("evaluate_latents", |p| stage.check(p));
            self.check_what_is_evaluated(stage, p);
        }
        problems
    }

    /// True if there is a stage that measures against a flow, or none at all.
    fn needs_flow(&self) -> bool {
        let measures = self.train_autoencoder.is_some() || self.estimate_nll.is_some();
        measures || (self.train_classifier.is_none() && self.evaluate_latents.is_none())
    }

    /// A prior without a velocity, or without a network, does not go with every regulariser.
    fn check_what_a_regulariser_asks(&self, stage: &train_autoencoder::Config, p: &mut Problems) {
        let Some(flow) = &self.pretrain_flow else {
            return; // a stored flow is asked when it is read
        };
        p.require(
            flow.model.kind().offers() >= stage.regulariser.asks(),
            "train_autoencoder.regulariser.kind",
            format!(
                "one that needs what `pretrain_flow.model: {{kind: {}}}` has not",
                flow.model.name()
            ),
            "`nll`, which goes with every prior, or `model: {kind: flow_matching}`",
        );
    }

    fn check_what_is_evaluated(&self, stage: &evaluate_latents::Config, p: &mut Problems) {
        let encodes = (self.train_autoencoder.as_ref()).is_some_and(|stage| stage.data.is_some());
        p.require(
            encodes,
            "train_autoencoder",
            match self.train_autoencoder {
                Some(_) => "free points, which have no decoder",
                None => "no such section",
            },
            "an autoencoder of data, whose latents `evaluate_latents` measures",
        );
        p.require(
            stage.classifier.is_some() || self.train_classifier.is_some(),
            "evaluate_latents.classifier",
            "nothing, and no `train_classifier` section",
            "one of them: the file of an experiment that trains a classifier, or such a section here",
        );
    }
}

/// What [`is_name`] accepts, in words.
pub const NAME: &str = "1 to 64 of A-Z a-z 0-9 . _ -, not starting with a dot";

/// True for names that may become a folder.
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_folder() {
        for good in ["ring", "ring-2.1_b", "0"] {
            assert!(is_name(good), "{good}");
        }
        let long = "a".repeat(65);
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "é", "a\0", &long] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
