//! The experiment file: one section per stage.

use latent_align_stages::Result;
use latent_align_stages::data::Files;
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
        /// One experiment: a flow, an autoencoder aligned with it, their likelihoods, and the usefulness of the
        /// latents.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Experiment {
            /// Name of the folder under artifacts/runs: 1 to 64 letters, digits, `.`, `_` or `-`.
            pub name: String,
            /// Another experiment, relative to this file, of which this one is a variation: the keys of this file
            /// are set in it one by one, a `null` removes a section, and a new `kind` starts from its own
            /// defaults.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub base: Option<PathBuf>,
            /// The seed of all random streams.
            #[serde(default)]
            pub seed: u64,
            /// Where tensors live. Not part of an artifact's identity.
            #[serde(default = "cpu")]
            #[schemars(description = device_description())]
            pub device: String,
            /// Devices of one kind, such as `[cuda:0, cuda:1]`, instead of `device`: trainings of flows, autoencoders
            /// and classifiers share each batch among them, as replicas that take the same steps. Other stages use the
            /// first. Not part of an artifact's identity.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub devices: Vec<String>,
            /// When to write checkpoints, from which a training resumes after an interruption. Not part of an
            /// artifact's identity.
            #[serde(default)]
            pub checkpoints: CheckpointConfig,
            /// Use this finished flow instead of pretraining one: `words-16` or `words-64`, which are part of
            /// the program, the start of its fingerprint (four or more characters), or the path of its artifact
            /// relative to this file.
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

        /// An example of the required keys in the section of `stage`.
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

/// When to write checkpoints of a training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Checkpoints")]
pub struct CheckpointConfig {
    /// Seconds of training between two checkpoints; more if writing them would take more than a twentieth of the
    /// time.
    pub every_seconds: f64,
    /// Steps between two checkpoints, in addition.
    pub every_steps: Option<u64>,
    /// Number of recent checkpoints to keep, besides the one with the lowest held-out loss.
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
            "a number of steps, or no value",
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
    /// The sections present.
    pub fn sections(&self) -> Sections<'_> {
        let sections = Stage::ALL
            .into_iter()
            .filter_map(|stage| self.section(stage));
        Sections(sections.collect())
    }

    /// Applies `change` to every path in the sections: inputs, and files of other experiments.
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

    /// Applies `change` to each key whose value may be several files, given with its section.
    ///
    /// # Errors
    /// The first one of `change`.
    pub fn change_files(
        &mut self,
        mut change: impl FnMut(&str, &mut Files) -> Result<()>,
    ) -> Result<()> {
        for stage in Stage::ALL {
            if let Some(section) = self.section_mut(stage) {
                for (key, files) in section.data_files() {
                    change(&format!("{}.{key}", stage.section()), files)?;
                }
            }
        }
        Ok(())
    }

    /// The names of the devices, at least one; the first is that of stages that use one.
    pub fn device_names(&self) -> &[String] {
        match &self.devices[..] {
            [] => std::slice::from_ref(&self.device),
            several => several,
        }
    }

    fn check_devices(&self, problems: &mut Problems) {
        if self.devices.is_empty() {
            return;
        }
        problems.require(
            self.device == cpu(),
            "device",
            &self.device,
            "no `device` beside `devices`: remove one of them",
        );
        let choices: Vec<_> = self
            .devices
            .iter()
            .map(|name| name.parse::<DeviceChoice>())
            .collect();
        for (name, choice) in self.devices.iter().zip(&choices) {
            problems.require(choice.is_ok(), "devices", name, &forms("`"));
        }
        let mut kinds = choices.iter().flatten().map(|choice| choice.kind().name);
        let kind = kinds.next();
        problems.require(
            kinds.all(|other| Some(other) == kind),
            "devices",
            self.devices.join(", "),
            "devices of one kind",
        );
        for section in &self.sections().0 {
            if let Some(shared) = section.shared() {
                problems.section(section.stage().section(), |p| {
                    shared.check(self.devices.len(), p)
                });
            }
        }
    }

    /// Reports every value out of range, section by section.
    pub fn problems(&self) -> Problems {
        let mut problems = Problems::new();
        let p = &mut problems;
        p.require(is_name(&self.name), "name", &self.name, NAME);
        p.require(
            self.base.is_none(),
            "base",
            "a base that is set",
            "no base: write it into the file",
        );
        p.require(
            self.device.parse::<DeviceChoice>().is_ok(),
            "device",
            &self.device,
            &forms("`"),
        );
        self.check_devices(p);
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

    /// Whether a stage compares with a flow, or there is no stage at all.
    fn needs_flow(&self) -> bool {
        let is_flow = |read: &Read| read.stage == Stage::PretrainFlow && read.experiment.is_none();
        let Sections(sections) = self.sections();
        let mut reads = sections.iter().flat_map(|section| section.reads());
        sections.is_empty() || reads.any(|read| is_flow(&read))
    }
}

/// Valid names according to [`is_name`].
pub const NAME: &str = "1 to 64 of A-Z a-z 0-9 . _ -, not starting with a dot or a dash";

/// Whether `name` may be the name of a directory.
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.starts_with(['.', '-']) // hidden, or read as an option
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
        for bad in [
            "", ".", "..", ".hidden", "a/b", "a b", "é", "a\0", "-x", "--help", &long,
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
