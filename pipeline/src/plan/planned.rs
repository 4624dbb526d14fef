//! What a plan consists of.

use crate::config::Loaded;
use crate::store::{Key, Manifest, Stage, StageOfRun, Upstream};
use latent_align_stages::stages::StageConfig;

/// The stages of an experiment, and those of others that it reads, in an order in which they can run.
#[derive(Debug)]
pub struct Plan {
    /// The experiment that was asked for, and then those it reads.
    pub experiments: Vec<Member>,
    /// What is computed from what: each after everything it reads, none twice.
    pub nodes: Vec<Planned>,
}

/// An experiment of a plan.
#[derive(Debug)]
pub struct Member {
    /// The experiment, of the seed and device of the one that was asked for.
    pub loaded: Loaded,
    /// Whether the run folder of its name is its own, and not that of the experiment that was asked
    /// for, which may name its own file.
    pub has_folder: bool,
    /// Its stages that were asked for, by number, in the order of the stages.
    pub nodes: Vec<usize>,
    /// The artifacts that all its stages are or will be, a finished flow included; those of a plan that
    /// was cut short as well.
    pub stages: Vec<StageOfRun>,
    /// The finished flow it names instead of pretraining one, once that was asked for.
    pub finished_flow: Option<Upstream>,
}

/// One stage of a plan.
#[derive(Debug)]
pub struct Planned {
    /// The number of the first experiment that has it.
    pub member: usize,
    /// What to compute.
    pub config: Box<dyn StageConfig>,
    /// From what.
    pub key: Key,
    /// The fingerprint of the key.
    pub fingerprint: String,
    /// Whether it must be.
    pub verdict: Verdict,
}

/// Whether a stage must run.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// Its artifact exists.
    UpToDate(Box<Manifest>),
    /// It must, and why: one reason a line.
    Run(Vec<String>),
}

impl Plan {
    /// The stages that must run.
    pub fn to_run(&self) -> impl Iterator<Item = &Planned> {
        self.nodes.iter().filter(|n| n.must_run())
    }

    /// What messages call a stage: with its experiment, if that is not the one that was asked for.
    pub fn title(&self, planned: &Planned) -> String {
        self.title_of(planned.member, planned.key.stage)
    }

    /// The same of any stage of the experiment `member`.
    pub fn title_of(&self, member: usize, stage: Stage) -> String {
        match member {
            0 => stage.to_string(),
            other => format!("{stage} of {}", self.experiments[other].name()),
        }
    }
}

impl Member {
    /// The experiment's name.
    pub fn name(&self) -> &str {
        &self.loaded.experiment.name
    }
}

impl Planned {
    /// True if it must run.
    pub fn must_run(&self) -> bool {
        matches!(self.verdict, Verdict::Run(_))
    }
}
