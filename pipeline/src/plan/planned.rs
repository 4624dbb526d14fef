//! The parts of a plan.

use crate::config::Loaded;
use crate::store::{Key, Manifest, Stage, StageOfRun, Upstream};
use latent_align_stages::stages::StageConfig;

/// The stages of an experiment, and those of others that it reads, in an order in which they can run.
#[derive(Debug)]
pub struct Plan {
    /// The requested experiment, then those it reads.
    pub experiments: Vec<Member>,
    /// The stages, each after everything it reads, without repetition.
    pub nodes: Vec<Planned>,
}

/// An experiment of a plan.
#[derive(Debug)]
pub struct Member {
    /// The experiment, with the seed and device of the requested one.
    pub loaded: Loaded,
    /// Whether it has its own run folder, rather than that of the requested experiment, which may refer
    /// to its own file.
    pub has_folder: bool,
    /// Indices of its requested stages, in the order of the stages.
    pub nodes: Vec<usize>,
    /// The artifacts of all its stages, existing or not, including a finished flow and stages that were
    /// cut off by `--until`.
    pub stages: Vec<StageOfRun>,
    /// The finished flow that it names instead of pretraining one, if needed.
    pub finished_flow: Option<Upstream>,
}

/// A stage of a plan.
#[derive(Debug)]
pub struct Planned {
    /// Index of the first experiment that has it.
    pub member: usize,
    pub config: Box<dyn StageConfig>,
    /// Its configuration and inputs.
    pub key: Key,
    /// The fingerprint of the key.
    pub fingerprint: String,
    pub verdict: Verdict,
    /// How many seconds it took in the experiment's last run that has it, whatever its configuration was.
    pub took: Option<f64>,
}

/// Whether a stage must run.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// Its artifact exists.
    UpToDate(Box<Manifest>),
    /// It must run, with one reason per line.
    Run(Vec<String>),
}

impl Plan {
    /// How many seconds the stages that must run took last time; none if none of them ever ran, and the second is
    /// how many of them did.
    pub fn took(&self) -> Option<(f64, usize)> {
        let took: Vec<f64> = self.to_run().filter_map(|planned| planned.took).collect();
        (!took.is_empty()).then(|| (took.iter().sum(), took.len()))
    }

    /// The stages that must run.
    pub fn to_run(&self) -> impl Iterator<Item = &Planned> {
        self.nodes.iter().filter(|n| n.must_run())
    }

    /// Name of a stage in messages: with its experiment, unless that is the requested one.
    pub fn title(&self, planned: &Planned) -> String {
        self.title_of(planned.member, planned.key.stage)
    }

    /// The same for any stage of the experiment `member`.
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
    /// Whether it must run.
    pub fn must_run(&self) -> bool {
        matches!(self.verdict, Verdict::Run(_))
    }
}
