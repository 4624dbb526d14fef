//! The stages as the pipeline calls them: the only file that knows each stage's functions.

use crate::config::Experiment;
use crate::store::{Role, Stage, Upstream};
use latent_align_stages::context::{Context, Monitor, Summary};
use latent_align_stages::devices::Numbers;
use latent_align_stages::priors::PointShape;
use latent_align_stages::stages::reference::Producer;
use latent_align_stages::stages::{
    estimate_nll, evaluate_latents, pretrain_flow, train_autoencoder, train_classifier,
};
use latent_align_stages::{Error, Result, priors};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A stage with its configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Job {
    /// Stage 1.
    PretrainFlow(pretrain_flow::Config),
    /// Stage 2.
    TrainAutoencoder(train_autoencoder::Config),
    /// Stage 3.
    EstimateNll(estimate_nll::Config),
    /// What judges latents.
    TrainClassifier(train_classifier::Config),
    /// How useful they are.
    EvaluateLatents(evaluate_latents::Config),
}

/// A stage whose input was opened and found good.
pub enum Ready {
    /// Stage 1.
    PretrainFlow(pretrain_flow::Prepared),
    /// Stage 2.
    TrainAutoencoder(train_autoencoder::Prepared),
    /// Stage 3, which reads only what earlier stages wrote.
    EstimateNll(estimate_nll::Config),
    /// What judges latents.
    TrainClassifier(train_classifier::Prepared),
    /// How useful they are; it reads only what earlier stages wrote.
    EvaluateLatents(evaluate_latents::Config),
}

/// An artifact that a stage wants to read.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// What for.
    pub role: Role,
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
    fn own(role: Role, stage: Stage) -> Self {
        Self {
            role,
            stage,
            experiment: None,
            key: "",
            optional: false,
        }
    }
}

impl Job {
    /// The job of `stage` in `experiment`, if it has that section.
    pub fn of(experiment: &Experiment, stage: Stage) -> Option<Self> {
        match stage {
            Stage::PretrainFlow => experiment.pretrain_flow.clone().map(Self::PretrainFlow),
            Stage::TrainAutoencoder => {
                let config = experiment.train_autoencoder.clone();
                config.map(Self::TrainAutoencoder)
            }
            Stage::EstimateNll => experiment.estimate_nll.clone().map(Self::EstimateNll),
            Stage::TrainClassifier => {
                let config = experiment.train_classifier.clone();
                config.map(Self::TrainClassifier)
            }
            Stage::EvaluateLatents => {
                let config = experiment.evaluate_latents.clone();
                config.map(Self::EvaluateLatents)
            }
        }
    }

    /// Which stage it is.
    pub fn stage(&self) -> Stage {
        match self {
            Self::PretrainFlow(_) => Stage::PretrainFlow,
            Self::TrainAutoencoder(_) => Stage::TrainAutoencoder,
            Self::EstimateNll(_) => Stage::EstimateNll,
            Self::TrainClassifier(_) => Stage::TrainClassifier,
            Self::EvaluateLatents(_) => Stage::EvaluateLatents,
        }
    }

    /// The artifacts it reads.
    pub fn reads(&self) -> Vec<Read> {
        let flow = Read::own(Role::Flow, Stage::PretrainFlow);
        match self {
            Self::PretrainFlow(config) => (config.features.from.iter())
                .map(|from| Read {
                    experiment: from.experiment.clone(),
                    key: "features.from",
                    ..Read::own(Role::Features, producer(from.stage))
                })
                .collect(),
            Self::TrainAutoencoder(_) => vec![flow],
            Self::EstimateNll(config) => {
                let autoencoder = Read {
                    optional: true,
                    ..Read::own(Role::Autoencoder, Stage::TrainAutoencoder)
                };
                let unaligned = config.unaligned.clone().map(|experiment| Read {
                    experiment: Some(experiment),
                    key: "unaligned",
                    ..Read::own(Role::Unaligned, Stage::TrainAutoencoder)
                });
                [flow, autoencoder].into_iter().chain(unaligned).collect()
            }
            Self::TrainClassifier(_) => Vec::new(),
            Self::EvaluateLatents(config) => vec![
                Read::own(Role::Autoencoder, Stage::TrainAutoencoder),
                Read {
                    experiment: config.classifier.clone(),
                    key: "classifier",
                    ..Read::own(Role::Classifier, Stage::TrainClassifier)
                },
            ],
        }
    }

    /// The numbers it computes in, by the key that asks for them.
    pub fn numbers(&self) -> Option<Numbers> {
        match self {
            Self::PretrainFlow(config) => config.model.kind().numbers(),
            Self::TrainAutoencoder(config) => Some(config.precision.numbers("precision")),
            Self::EstimateNll(config) => Some(config.precision.numbers("precision")),
            Self::TrainClassifier(_) => None,
            Self::EvaluateLatents(config) => Some(config.flow.precision.numbers("flow.precision")),
        }
    }

    fn inputs_mut(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::PretrainFlow(config) => config.inputs_mut(),
            Self::TrainAutoencoder(config) => config.inputs_mut(),
            Self::EstimateNll(_) => Vec::new(),
            Self::TrainClassifier(config) => config.inputs_mut(),
            Self::EvaluateLatents(_) => Vec::new(),
        }
    }

    fn experiments_mut(&mut self) -> Vec<&mut Option<PathBuf>> {
        match self {
            Self::PretrainFlow(config) => config.experiments_mut(),
            Self::TrainAutoencoder(_) => Vec::new(),
            Self::EstimateNll(config) => config.experiments_mut(),
            Self::TrainClassifier(_) => Vec::new(),
            Self::EvaluateLatents(config) => config.experiments_mut(),
        }
    }

    fn to_value(&self) -> Result<Value> {
        match self {
            Self::PretrainFlow(config) => serde_json::to_value(config),
            Self::TrainAutoencoder(config) => serde_json::to_value(config),
            Self::EstimateNll(config) => serde_json::to_value(config),
            Self::TrainClassifier(config) => serde_json::to_value(config),
            Self::EvaluateLatents(config) => serde_json::to_value(config),
        }
        .map_err(|e| Error::input(format!("{}: {e}", self.stage().section())))
    }

    /// The configuration with the paths of inputs and of other experiments blanked, and each input's
    /// dotted key and path. A file of another stage's artifact keeps its name.
    pub fn identity(&self) -> Result<(Value, Vec<(String, PathBuf)>)> {
        let mut marked = self.clone();
        let mut paths = Vec::new();
        for (number, path) in marked.inputs_mut().into_iter().enumerate() {
            paths.push(std::mem::replace(path, mark(number)));
        }
        let marked = marked.to_value()?;
        let keys = crate::config::flatten(&marked);
        let mut inputs = Vec::new();
        for (number, path) in paths.into_iter().enumerate() {
            let mark = mark(number);
            let key = keys
                .iter()
                .find(|(_, v)| v.as_str().map(Path::new) == Some(&mark));
            inputs.push((key.map_or(String::new(), |k| k.0.clone()), path));
        }
        let mut blank = self.clone();
        for path in blank.inputs_mut() {
            path.clear();
        }
        for experiment in blank.experiments_mut() {
            *experiment = None;
        }
        Ok((blank.to_value()?, inputs))
    }

    /// This job with the files that it names of other stages' artifacts found in them.
    fn located(&self, upstream: &[Upstream]) -> Result<Self> {
        let mut located = self.clone();
        if let Self::PretrainFlow(config) = &mut located
            && let Some(features) = upstream.iter().find(|u| u.role == Role::Features)
        {
            config.features.file =
                features.file("pretrain_flow.features", &config.features.file)?;
        }
        Ok(located)
    }

    /// Opens and scans the inputs; wrong ones are found here, before anything is trained. Of
    /// `upstream`, the features must have been made.
    pub fn prepare(
        &self,
        seed: u64,
        upstream: &[Upstream],
        flow: PointShape,
        monitor: &dyn Monitor,
    ) -> Result<Ready> {
        Ok(match self.located(upstream)? {
            Self::PretrainFlow(config) => {
                Ready::PretrainFlow(pretrain_flow::prepare(&config, seed, monitor)?)
            }
            Self::TrainAutoencoder(config) => {
                Ready::TrainAutoencoder(train_autoencoder::prepare(&config, seed, flow, monitor)?)
            }
            Self::EstimateNll(config) => Ready::EstimateNll(config),
            Self::TrainClassifier(config) => {
                Ready::TrainClassifier(train_classifier::prepare(&config, seed, monitor)?)
            }
            Self::EvaluateLatents(config) => Ready::EvaluateLatents(config),
        })
    }
}

fn producer(stage: Producer) -> Stage {
    match stage {
        Producer::PretrainFlow => Stage::PretrainFlow,
        Producer::TrainAutoencoder => Stage::TrainAutoencoder,
        Producer::TrainClassifier => Stage::TrainClassifier,
    }
}

fn mark(number: usize) -> PathBuf {
    PathBuf::from(format!("\u{1}input {number}\u{1}"))
}

impl Ready {
    /// The shape of the points of the flow it will make, if it makes one.
    pub fn makes(&self) -> Option<PointShape> {
        match self {
            Self::PretrainFlow(prepared) => Some(prepared.shape()),
            _ => None,
        }
    }

    /// Fills the context's folder from the artifacts in `upstream`.
    pub fn run(self, upstream: &[Upstream], context: &Context) -> Result<Summary> {
        let dir = |role| {
            let found = upstream.iter().find(|u| u.role == role);
            found.map(|u| u.dir.as_path())
        };
        let needed = |role: Role| {
            dir(role).ok_or_else(|| Error::input(format!("no {} to read", role.name())))
        };
        match self {
            Self::PretrainFlow(prepared) => prepared.run(context),
            Self::TrainAutoencoder(prepared) => prepared.run(needed(Role::Flow)?, context),
            Self::EstimateNll(config) => estimate_nll::run(
                &config,
                needed(Role::Flow)?,
                dir(Role::Autoencoder),
                dir(Role::Unaligned),
                context,
            ),
            Self::TrainClassifier(prepared) => prepared.run(context),
            Self::EvaluateLatents(config) => evaluate_latents::run(
                &config,
                needed(Role::Autoencoder)?,
                needed(Role::Classifier)?,
                context,
            ),
        }
    }
}

/// The shape of the points of the finished flow in `dir`.
pub fn flow_shape(dir: &Path) -> Result<PointShape> {
    Ok(priors::stored(dir)?.shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn inputs_are_blanked_and_named_by_their_keys() {
        let config = serde_json::from_value(json!({"features": {"file": "/data/a.h5"}}));
        let job = Job::PretrainFlow(config.unwrap());
        let (value, inputs) = job.identity().unwrap();
        assert_eq!(inputs, [("features.file".into(), "/data/a.h5".into())]);
        assert_eq!(value["features"]["file"], "");
        assert_eq!(value["steps"], 3000);
    }

    #[test]
    fn a_file_of_an_artifact_keeps_its_name_and_its_experiment_has_none() {
        let from = json!({"experiment": "/a/other.yaml", "stage": "train_autoencoder"});
        let config = json!({"features": {"from": from, "file": "latents.h5"}});
        let job = Job::PretrainFlow(serde_json::from_value(config).unwrap());
        let (value, inputs) = job.identity().unwrap();
        assert_eq!(inputs, []);
        assert_eq!(value["features"]["file"], "latents.h5");
        assert_eq!(value["features"]["from"]["experiment"], json!(null));
        let reads = job.reads();
        assert_eq!(
            reads[0].experiment.as_deref(),
            Some(Path::new("/a/other.yaml"))
        );
    }
}
