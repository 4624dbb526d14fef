//! The interface of stages: a configuration that declares its inputs, checks them, and becomes work.

use super::name::Stage;
use super::upstream::Upstream;
use crate::context::{Context, Monitor, Summary};
use crate::data::Files;
use crate::devices::{Numbers, Shared};
use crate::error::Result;
use crate::priors::PointShape;
use crate::problems::Problems;
use serde::Serialize;
use serde_json::{Value, json};
use std::any::Any;
use std::fmt::Debug;
use std::path::PathBuf;

/// The section of a stage in an experiment.
pub trait StageConfig: Section + Debug + Send + Sync {
    fn stage(&self) -> Stage;

    /// An example of the keys without defaults.
    fn example() -> Value
    where
        Self: Sized,
    {
        json!({})
    }

    /// Reports every value out of range.
    fn check(&self, problems: &mut Problems);

    /// Reports conflicts with other sections of the experiment; keys of `problems` start with a section.
    fn check_with(&self, _sections: &Sections, _problems: &mut Problems) {}

    /// The artifacts that it reads.
    fn reads(&self) -> Vec<Read> {
        Vec::new()
    }

    /// Checks reading `read` from another experiment with the sections `other`; `own` are the sections of this
    /// one.
    ///
    /// # Errors
    /// The end of a sentence that begins with the other experiment's file.
    fn check_read(
        &self,
        _read: &Read,
        _own: &Sections,
        _other: &Sections,
    ) -> std::result::Result<(), String> {
        Ok(())
    }

    /// Checks reading `read`, given how all artifacts that this stage reads were made.
    ///
    /// # Errors
    /// The end of a sentence that begins with the other experiment's file.
    fn check_made(&self, _read: &Read, _made: &[Made]) -> std::result::Result<(), String> {
        Ok(())
    }

    /// Its number format with the configuration key.
    fn numbers(&self) -> Option<Numbers> {
        None
    }

    /// How its training on several devices shares a batch; None if the stage runs on one device.
    fn shared(&self) -> Option<Shared> {
        None
    }

    /// Input files that are not made by a stage, with their keys within the section.
    fn inputs(&mut self) -> Vec<(String, &mut PathBuf)> {
        Vec::new()
    }

    /// Those of them that may be several files, or a pattern of their names, with their keys.
    fn data_files(&mut self) -> Vec<(&'static str, &mut Files)> {
        Vec::new()
    }

    /// The keys for files of other experiments whose artifacts it may read.
    fn experiments(&mut self) -> Vec<&mut Option<PathBuf>> {
        Vec::new()
    }

    /// Opens and scans the inputs, so that problems are found before any training.
    ///
    /// # Errors
    /// File errors; input errors for data that does not match the configuration or the artifacts it reads.
    fn prepare(&self, upstream: &Upstream, seed: u64, monitor: &dyn Monitor)
    -> Result<Preparation>;
}

/// Plain-data operations of every [`StageConfig`].
pub trait Section: Any {
    fn boxed(&self) -> Box<dyn StageConfig>;

    /// Its keys and values, including defaults.
    ///
    /// # Errors
    /// A path that is not UTF-8.
    fn value(&self) -> serde_json::Result<Value>;
}

impl<T: StageConfig + Clone + Serialize> Section for T {
    fn boxed(&self) -> Box<dyn StageConfig> {
        Box::new(self.clone())
    }

    fn value(&self) -> serde_json::Result<Value> {
        serde_json::to_value(self)
    }
}

/// The sections present in an experiment, in the order in which stages run.
pub struct Sections<'a>(pub Vec<&'a dyn StageConfig>);

impl<'a> Sections<'a> {
    /// The section of type `T`.
    pub fn get<T: StageConfig>(&self) -> Option<&'a T> {
        let mut sections = self.0.iter();
        sections.find_map(|section| (*section as &dyn Any).downcast_ref())
    }

    /// Whether `stage` has a section.
    pub fn has(&self, stage: Stage) -> bool {
        self.0.iter().any(|section| section.stage() == stage)
    }
}

/// An artifact that a stage reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// Distinguishes artifacts of the same stage. Part of the reader's identity.
    pub role: &'static str,
    /// The stage that makes it.
    pub stage: Stage,
    /// The experiment's file; this experiment if absent.
    pub experiment: Option<PathBuf>,
    /// The key within the stage's section that requests it; empty if it is always read.
    pub key: &'static str,
    /// Whether the stage also works without it.
    pub optional: bool,
}

impl Read {
    /// A required artifact of the same experiment.
    pub fn own(role: &'static str, stage: Stage) -> Self {
        Self {
            role,
            stage,
            experiment: None,
            key: "",
            optional: false,
        }
    }

    /// The same, without which the stage also works.
    pub fn optional(role: &'static str, stage: Stage) -> Self {
        let optional = true;
        Self {
            optional,
            ..Self::own(role, stage)
        }
    }

    /// The same of the `experiment` that the key `key` names, if any.
    pub fn of(self, key: &'static str, experiment: Option<PathBuf>) -> Self {
        Self {
            experiment,
            key,
            ..self
        }
    }
}

/// How an artifact that a stage reads was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// Its role for the reader.
    pub role: String,
    /// The configuration of its stage, with paths of inputs and of other experiments blanked.
    pub config: Value,
    /// The seed of its random streams.
    pub seed: u64,
    /// Files that it read: dotted keys and digests of contents.
    pub inputs: Vec<(String, String)>,
    /// Artifacts that it read: roles and fingerprints.
    pub upstream: Vec<(String, String)>,
}

/// The outcome of preparing a stage.
pub enum Preparation {
    /// Its inputs are valid.
    Ready(Box<dyn Prepared>),
    /// An artifact that it reads does not exist yet; prepare again later.
    Wait,
}

/// A stage whose inputs were opened and validated.
pub trait Prepared {
    /// The shape of the points of the flow it will make, if any.
    fn makes(&self) -> Option<PointShape> {
        None
    }

    /// Fills the directory of `context` from the artifacts in `upstream`.
    ///
    /// # Errors
    /// Errors of reading and writing; [`crate::Error::Diverged`]; [`crate::Error::Cancelled`].
    fn run(self: Box<Self>, upstream: &Upstream, context: &Context) -> Result<Summary>;
}
