//! The stages as the pipeline calls them: the only file that knows each stage's functions.

use crate::store::Stage;
use latent_align_stages::context::{Context, Monitor, Summary};
use latent_align_stages::{Error, Result, estimate_nll, flows, pretrain_flow, train_autoencoder};
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
}

/// A stage whose input was opened and found good.
pub enum Ready {
    /// Stage 1.
    PretrainFlow(pretrain_flow::Prepared),
    /// Stage 2.
    TrainAutoencoder(train_autoencoder::Prepared),
    /// Stage 3, which reads only what earlier stages wrote.
    EstimateNll(estimate_nll::Config),
}

/// The folders of the artifacts a stage reads.
#[derive(Debug, Clone, Default)]
pub struct Folders {
    /// The flow.
    pub flow: Option<PathBuf>,
    /// The autoencoder.
    pub autoencoder: Option<PathBuf>,
}

impl Job {
    /// Which stage it is.
    pub fn stage(&self) -> Stage {
        match self {
            Self::PretrainFlow(_) => Stage::PretrainFlow,
            Self::TrainAutoencoder(_) => Stage::TrainAutoencoder,
            Self::EstimateNll(_) => Stage::EstimateNll,
        }
    }

    /// The stages whose artifacts it reads, where the experiment has them.
    pub fn reads(&self) -> &'static [Stage] {
        match self {
            Self::PretrainFlow(_) => &[],
            Self::TrainAutoencoder(_) => &[Stage::PretrainFlow],
            Self::EstimateNll(_) => &[Stage::PretrainFlow, Stage::TrainAutoencoder],
        }
    }

    fn inputs_mut(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::PretrainFlow(config) => config.inputs_mut(),
            Self::TrainAutoencoder(config) => config.inputs_mut(),
            Self::EstimateNll(_) => Vec::new(),
        }
    }

    fn to_value(&self) -> Result<Value> {
        match self {
            Self::PretrainFlow(config) => serde_json::to_value(config),
            Self::TrainAutoencoder(config) => serde_json::to_value(config),
            Self::EstimateNll(config) => serde_json::to_value(config),
        }
        .map_err(|e| Error::input(format!("{}: {e}", self.stage().section())))
    }

    /// The configuration with the paths of inputs blanked, and each input's dotted key and path.
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
        Ok((blank.to_value()?, inputs))
    }

    /// Opens and scans the inputs; wrong ones are found here, before anything is trained.
    pub fn prepare(&self, seed: u64, flow_width: usize, monitor: &dyn Monitor) -> Result<Ready> {
        Ok(match self {
            Self::PretrainFlow(config) => {
                Ready::PretrainFlow(pretrain_flow::prepare(config, seed, monitor)?)
            }
            Self::TrainAutoencoder(config) => Ready::TrainAutoencoder(train_autoencoder::prepare(
                config, seed, flow_width, monitor,
            )?),
            Self::EstimateNll(config) => Ready::EstimateNll(config.clone()),
        })
    }
}

fn mark(number: usize) -> PathBuf {
    PathBuf::from(format!("\u{1}input {number}\u{1}"))
}

impl Ready {
    /// The width of the points of the flow it will make, if it makes one.
    pub fn latent_width(&self) -> Option<usize> {
        match self {
            Self::PretrainFlow(prepared) => Some(prepared.latent_width()),
            _ => None,
        }
    }

    /// Fills the context's folder.
    pub fn run(self, reads: &Folders, context: &Context) -> Result<Summary> {
        let flow = || {
            let flow = reads.flow.as_deref();
            flow.ok_or_else(|| Error::input("no flow: neither `pretrain_flow` nor `flow` is given"))
        };
        match self {
            Self::PretrainFlow(prepared) => prepared.run(context),
            Self::TrainAutoencoder(prepared) => prepared.run(flow()?, context),
            Self::EstimateNll(config) => {
                estimate_nll::run(&config, flow()?, reads.autoencoder.as_deref(), None, context)
            }
        }
    }
}

/// The width of the points of the finished flow in `dir`.
pub fn flow_width(dir: &Path) -> Result<usize> {
    flows::stored_width(dir)
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
}
