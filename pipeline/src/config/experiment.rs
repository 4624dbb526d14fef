//! What a YAML file says: one section per stage.

use latent_align_stages::devices::{DeviceChoice, forms};
use latent_align_stages::problems::Problems;
use latent_align_stages::stages::{self, Read, Sections, Stage, StageConfig};
use latent_align_stages::with_stages;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

macro_rules! experiment {
    ($($(#[$doc:meta])* $section:ident: $stage:ident = $name:literal $(leaves $leaves:literal)?,)*) => {
        /// One experiment: a flow, an autoencoder aligned with it, what the likelihoods say, and how useful the
        /// latents are.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Experiment {
            /// Names the folder under artifacts/runs: 1 to 64 letters, digits, `.`, `_` or `-`.
            pub name: String,
            /// Another experiment, relative to this file, of which this one is a variation: what this file says is
            /// set in it key by key, a `null` removes a section, and a new `kind` starts from its own defaults.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub base: Option<PathBuf>,
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
            $($(#[$doc])* #[serde(default)] pub $section: Option<stages::$section::Config>,)*
        }

        impl Experiment {
            /// The section of `stage`, if there is one.
            pub fn section(&self, stage: Stage) -> Option<&dyn StageConfig> {
                match stage {
                    $(Stage::$stage => self.$section.as_ref().map(|section| section as &dyn StageConfig),)*
                }
            }

            fn section_mut(&mut self, stage: Stage) -> Option<&mut dyn StageConfig> {
                match stage {
                    $(Stage::$stage => self.$section.as_mut().map(|section| section as &mut dyn StageConfig),)*
                }
            }
        }

        /// What the section of `stage` has at least to hold, as an example.
        pub fn example_of(stage: Stage) -> Value {
            match stage {
                $(Stage::$stage => stages::$section::Config::example(),)*
            }
        }
    };
}

with_stages!(experiment);

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
    /// The sections that there are.
    pub fn sections(&self) -> Sections<'_> {
        let sections = Stage::ALL
            .into_iter()
            .filter_map(|stage| self.section(stage));
        Sections(sections.collect())
    }

    /// Changes every path in the sections: inputs, and the files of other experiments.
    pub fn change_paths(&mut self, mut change: impl FnMut(&mut PathBuf)) {
        for stage in Stage::ALL {
            if let Some(section) = self.section_mut(stage) {
                section
                    .inputs()
                    .into_iter()
                    .for_each(|(_, path)| change(path));
                let experiments = section.experiments().into_iter().flatten();
                experiments.for_each(&mut change);
            }
        }
    }

    /// Every value that is out of range, section by section.
    pub fn problems(&self) -> Problems {
        let mut problems = Problems::new();
        let p = &mut problems;
        p.require(is_name(&self.name), "name", &self.name, NAME);
        p.require(
            self.base.is_none(),
            "base",
            "a base that is set",
            "none: write it into the file",
        );
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
        let sections = self.sections();
        for section in &sections.0 {
            p.section(section.stage().section(), |p| section.check(p));
            section.check_with(&sections, p);
        }
        problems
    }

    /// True if there is a stage that measures against a flow, or none at all.
    fn needs_flow(&self) -> bool {
        let is_flow = |read: &Read| read.stage == Stage::PretrainFlow && read.experiment.is_none();
        let Sections(sections) = self.sections();
        let mut reads = sections.iter().flat_map(|section| section.reads());
        sections.is_empty() || reads.any(|read| is_flow(&read))
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
