//! What a stage is: a configuration that says what it reads, checks it, and becomes work.

use super::name::Stage;
use super::upstream::Upstream;
use crate::context::{Context, Monitor, Summary};
use crate::devices::Numbers;
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
    /// Which stage it is of.
    fn stage(&self) -> Stage;

    /// A section with what has no default, as an example.
    fn example() -> Value
    where
        Self: Sized,
    {
        json!({})
    }

    /// Notes every value out of range.
    fn check(&self, problems: &mut Problems);

    /// Notes what does not go with the other sections of the experiment; keys of `problems` start with a section.
    fn check_with(&self, _sections: &Sections, _problems: &mut Problems) {}

    /// The artifacts that it reads.
    fn reads(&self) -> Vec<Read> {
        Vec::new()
    }

    /// Says what is wrong with reading `read` out of another experiment, of the sections `other`, as this one, of
    /// the sections `own`, does.
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

    /// Says what is wrong with reading `read`, where `made` tells what all that this stage reads is made from.
    ///
    /// # Errors
    /// The end of a sentence that begins with the other experiment's file.
    fn check_made(&self, _read: &Read, _made: &[Made]) -> std::result::Result<(), String> {
        Ok(())
    }

    /// The numbers that it computes in, by the key that asks for them.
    fn numbers(&self) -> Option<Numbers> {
        None
    }

    /// The files that it reads and no stage made, each with its key within the section.
    fn inputs(&mut self) -> Vec<(&'static str, &mut PathBuf)> {
        Vec::new()
    }

    /// The keys for files of other experiments, whose artifacts it may read.
    fn experiments(&mut self) -> Vec<&mut Option<PathBuf>> {
        Vec::new()
    }

    /// Opens and scans the inputs, so that what is wrong with them is found before anything is trained.
    ///
    /// # Errors
    /// File errors; input errors for data that does not fit the configuration or what it reads.
    fn prepare(&self, upstream: &Upstream, seed: u64, monitor: &dyn Monitor)
    -> Result<Preparation>;
}

/// What every [`StageConfig`] is besides: plain data.
pub trait Section: Any {
    /// A copy.
    fn boxed(&self) -> Box<dyn StageConfig>;

    /// Its keys and values, those left at their defaults too.
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

/// The sections of an experiment that are there, in the order in which stages run.
pub struct Sections<'a>(pub Vec<&'a dyn StageConfig>);

impl<'a> Sections<'a> {
    /// The section whose configuration is a `T`.
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
    /// What for; artifacts of one stage are told apart by it. Part of an artifact's identity.
    pub role: &'static str,
    /// The stage that makes it.
    pub stage: Stage,
    /// The file of the experiment that has that stage; this one if absent.
    pub experiment: Option<PathBuf>,
    /// The key, within the stage's section, that asks for it; empty where the stage itself does.
    pub key: &'static str,
    /// Whether the stage can do without, where the experiment lacks it.
    pub optional: bool,
}

impl Read {
    /// What a stage needs of its own experiment.
    pub fn own(role: &'static str, stage: Stage) -> Self {
        Self {
            role,
            stage,
            experiment: None,
            key: "",
            optional: false,
        }
    }
}

/// What an artifact that a stage reads is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// What it is read for.
    pub role: String,
    /// The configuration of its stage, with the paths of inputs and of other experiments blanked.
    pub config: Value,
    /// The seed of its random streams.
    pub seed: u64,
    /// The files that it reads: dotted keys and digests of contents.
    pub inputs: Vec<(String, String)>,
    /// The artifacts that it reads: roles and fingerprints.
    pub upstream: Vec<(String, String)>,
}

/// How far a stage can be prepared.
pub enum Preparation {
    /// Its inputs are good.
    Ready(Box<dyn Prepared>),
    /// It reads something that is not made yet, and is to be asked again when it is.
    Wait,
}

/// A stage whose inputs were opened and found good.
pub trait Prepared {
    /// The shape of the points of the flow that it will make, if it makes one.
    fn makes(&self) -> Option<PointShape> {
        None
    }

    /// Fills the folder of `context` from the artifacts in `upstream`.
    ///
    /// # Errors
    /// Errors of reading and writing; [`crate::Error::Diverged`]; [`crate::Error::Cancelled`].
    fn run(self: Box<Self>, upstream: &Upstream, context: &Context) -> Result<Summary>;
}
