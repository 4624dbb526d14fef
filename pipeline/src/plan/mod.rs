//! Which stages are stale, and why.
//!
//! A plan is made from digests and manifests alone; nothing is computed and nothing is written.

mod reasons;

use crate::config::Experiment;
use crate::job::Job;
use crate::store::{Digests, Key, Manifest, RunFolder, Stage, State, Store, Upstream};
use latent_align_stages::{Error, Result};
use std::fmt::Write as _;
use std::path::Path;

pub use reasons::stale_upstream;

/// The stages of an experiment in the order in which they run.
#[derive(Debug)]
pub struct Plan {
    /// Every stage the experiment has.
    pub stages: Vec<Planned>,
    /// The finished flow it names instead of pretraining one.
    pub finished_flow: Option<(Upstream, Box<Manifest>)>,
}

/// One stage of a plan.
#[derive(Debug)]
pub struct Planned {
    /// What to compute.
    pub job: Job,
    /// From what.
    pub key: Key,
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
        self.stages
            .iter()
            .filter(|s| matches!(s.verdict, Verdict::Run(_)))
    }

    /// The plan as a person reads it, one stage a line and further reasons below.
    pub fn render(&self) -> String {
        let mut out = String::new();
        if let Some((flow, _)) = &self.finished_flow {
            let _ = writeln!(
                out,
                "  {}",
                line(flow.stage, &flow.fingerprint, "given", "")
            );
        }
        for planned in &self.stages {
            let fingerprint = planned.key.fingerprint();
            let stage = planned.job.stage();
            match &planned.verdict {
                Verdict::UpToDate(_) => {
                    let _ = writeln!(out, "  {}", line(stage, &fingerprint, "up to date", ""));
                }
                Verdict::Run(reasons) => {
                    for (number, reason) in reasons.iter().enumerate() {
                        if number == 0 {
                            let _ = writeln!(out, "  {}", line(stage, &fingerprint, "run", reason));
                        } else {
                            let _ = writeln!(out, "  {:49}{reason}", "");
                        }
                    }
                }
            }
        }
        out
    }
}

fn line(stage: Stage, fingerprint: &str, verdict: &str, reason: &str) -> String {
    format!("{stage:17}  {fingerprint}  {verdict:10}  {reason}")
        .trim_end()
        .to_owned()
}

/// Plans `experiment` against what `store` holds.
///
/// # Errors
/// [`Error::Input`] when an input file, or the finished flow, is not there.
pub fn make(experiment: &Experiment, store: &Store, digests: &mut Digests) -> Result<Plan> {
    let finished_flow = match &experiment.flow {
        Some(flow) => Some(finished_flow(store, flow)?),
        None => None,
    };
    let mut available: Vec<Upstream> = finished_flow.iter().map(|f| f.0.clone()).collect();
    let run = RunFolder::of(store, &experiment.name);
    let mut stages: Vec<Planned> = Vec::new();
    for job in jobs(experiment) {
        let key = key(&job, experiment.seed, &available, digests)?;
        let running: Vec<Stage> = stages
            .iter()
            .filter(|p| matches!(p.verdict, Verdict::Run(_)))
            .map(|p| p.job.stage())
            .collect();
        let verdict = verdict(store, &run, &key, &running);
        let fingerprint = key.fingerprint();
        available.push(Upstream {
            stage: key.stage,
            dir: store.artifact(key.stage, &fingerprint),
            fingerprint,
        });
        stages.push(Planned { job, key, verdict });
    }
    Ok(Plan {
        stages,
        finished_flow,
    })
}

fn jobs(experiment: &Experiment) -> Vec<Job> {
    let flow = experiment.pretrain_flow.clone().map(Job::PretrainFlow);
    let autoencoder = experiment.train_autoencoder.clone();
    let nll = experiment.estimate_nll.clone();
    flow.into_iter()
        .chain(autoencoder.map(Job::TrainAutoencoder))
        .chain(nll.map(Job::EstimateNll))
        .collect()
}

fn key(job: &Job, seed: u64, available: &[Upstream], digests: &mut Digests) -> Result<Key> {
    let (config, paths) = job.identity()?;
    let mut inputs = Vec::new();
    for (key, path) in paths {
        let record = digests.of(&path).map_err(|e| match e {
            Error::Input(why) => Error::Input(format!("{}.{key}: {why}", job.stage().section())),
            other => other,
        })?;
        inputs.push((key, path, record));
    }
    let reads = job.reads();
    Ok(Key {
        stage: job.stage(),
        config,
        seed,
        inputs,
        upstream: available
            .iter()
            .filter(|u| reads.contains(&u.stage))
            .cloned()
            .collect(),
    })
}

fn verdict(store: &Store, run: &RunFolder, key: &Key, running: &[Stage]) -> Verdict {
    let upstream: Vec<String> = key
        .upstream
        .iter()
        .filter(|u| running.contains(&u.stage))
        .map(|u| format!("{} runs again", u.stage))
        .collect();
    match store.state(key) {
        State::Whole(manifest) if upstream.is_empty() => match stale_upstream(&manifest, key) {
            Some(reason) => Verdict::Run(vec![reason]),
            None => Verdict::UpToDate(manifest),
        },
        State::Whole(_) => Verdict::Run(upstream),
        State::Damaged(why) => Verdict::Run(vec![format!("its artifact is damaged: {why}")]),
        State::Absent => Verdict::Run(reasons::since_last(run, key)),
    }
}

fn finished_flow(store: &Store, flow: &str) -> Result<(Upstream, Box<Manifest>)> {
    let dir = if crate::config::is_fingerprint_prefix(flow) {
        store
            .find(Some(Stage::PretrainFlow), flow)
            .map_err(|e| Error::input(format!("flow: {e}")))?
    } else {
        Path::new(flow).to_owned()
    };
    let wrong = |why: &str| {
        Error::input(format!(
            "flow: {}: {why}; expected a finished pretrain-flow artifact",
            dir.display()
        ))
    };
    match crate::store::state_of(&dir) {
        State::Absent => Err(wrong("no such folder")),
        State::Damaged(why) => Err(wrong(&why)),
        State::Whole(m) if m.stage != Stage::PretrainFlow => {
            Err(wrong(&format!("an artifact of {}", m.stage)))
        }
        State::Whole(manifest) => {
            let inside = store.artifact(manifest.stage, &manifest.fingerprint);
            let same = inside.canonicalize().ok() == dir.canonicalize().ok();
            Ok((
                Upstream {
                    stage: manifest.stage,
                    fingerprint: manifest.fingerprint.clone(),
                    dir: if same && inside.exists() { inside } else { dir },
                },
                manifest,
            ))
        }
    }
}
