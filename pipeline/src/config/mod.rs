//! From a YAML file to a validated [`Experiment`].
//!
//! One direction, each step once: text -> typed struct (errors with line and column) -> `--set` ->
//! absolute paths -> checked values. Nothing downstream sees raw input.

mod base;
mod defaults;
mod diff;
mod differing;
mod experiment;
mod overrides;
mod paths;
mod patterns;
mod quick;
mod referenced;
mod suggest;
mod tree;
mod unknown;
mod words;
mod yaml;

#[cfg(test)]
pub use defaults::example;
pub use defaults::{commented_defaults, experiment_schema, json_schema};
pub use diff::{Change, diff};
pub use differing::{Setting, differing};
pub use experiment::{CheckpointConfig, Experiment, NAME, is_name};
pub use overrides::Assignment;
pub use paths::{beside, is_fingerprint_prefix};
pub use patterns::expand;
pub use quick::{FACTOR, MARK, is_quick};
pub use referenced::load_read;
pub use suggest::{hint, list, nearest};
pub use tree::flatten;
pub use yaml::{parse_value, refuse_pipe};

use latent_align_stages::{Error, Result};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// Command-line overrides of the experiment.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Assignments in order.
    pub set: Vec<Assignment>,
    /// Replaces `device` and `devices`.
    pub device: Option<String>,
    /// Divide every size, for a run that is not a result.
    pub quick: bool,
}

/// An experiment ready to be planned, and its file.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Every value typed, checked, and every path absolute.
    pub experiment: Experiment,
    pub file: PathBuf,
    /// Whether every size is divided, so that figures are not results.
    pub quick: bool,
    /// The overrides it was loaded with.
    pub overrides: Overrides,
}

/// Reads, overrides and checks the experiment in `file`.
///
/// # Errors
/// [`Error::Input`] that names the file and, for a mistake in it, line, column and the nearest key;
/// values out of range are reported all at once.
pub fn load(file: &Path, overrides: &Overrides) -> Result<Loaded> {
    let mut experiment = read_overridden(file, overrides)?;
    if overrides.quick {
        experiment = quick::quick(&experiment)?;
    }
    check(&experiment, file)?;
    Ok(Loaded {
        experiment,
        file: file.to_owned(),
        quick: overrides.quick,
        overrides: overrides.clone(),
    })
}

/// Reads and overrides the experiment in `file`, and makes its paths absolute.
fn read_overridden(file: &Path, overrides: &Overrides) -> Result<Experiment> {
    let mut experiment = base::read(file)?;
    experiment = overrides::apply(experiment, &overrides.set)?;
    if let Some(device) = &overrides.device {
        experiment.device.clone_from(device);
        experiment.devices.clear();
    }
    paths::make_absolute(&mut experiment, file)?;
    Ok(experiment)
}

/// Parses the YAML in `file` as a `T`.
///
/// # Errors
/// As [`load`], except for values out of range.
pub fn read<T: DeserializeOwned>(file: &Path) -> Result<T> {
    yaml::parse(&yaml::read(file)?, &file.display().to_string())
}

pub fn check(experiment: &Experiment, file: &Path) -> Result<()> {
    all_or_nothing(file, experiment.problems().messages().to_vec())
}

/// An input error with all messages of `wrong`, if there are any.
pub fn all_or_nothing(file: &Path, wrong: Vec<String>) -> Result<()> {
    match wrong.as_slice() {
        [] => Ok(()),
        [one] => Err(Error::input(format!("{}: {one}", file.display()))),
        many => Err(Error::input(format!(
            "{}: {} problems\n  {}",
            file.display(),
            many.len(),
            many.join("\n  ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str, set: &[&str]) -> Result<Loaded> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("experiment.yaml");
        std::fs::write(&file, text).unwrap();
        load(
            &file,
            &Overrides {
                set: set.iter().map(|s| Assignment::parse(s).unwrap()).collect(),
                ..Overrides::default()
            },
        )
    }

    #[test]
    fn all_values_out_of_range_are_reported_at_once() {
        let text = "name: a/b\nseed: 1\ndevice: gpu\n\
                    pretrain_flow: {features: {file: a.h5}, steps: 0, model: {kind: flow_matching, network: {width: 0}}}\n";
        let message = load_text(text, &[]).unwrap_err().to_string();
        for part in [
            "4 problems",
            "name: found a/b",
            "device: found gpu",
            "pretrain_flow.steps: found 0",
            "pretrain_flow.model.network.width: found 0",
        ] {
            assert!(message.contains(part), "{part} is missing from\n{message}");
        }
    }

    #[test]
    fn an_override_is_checked_like_the_file() {
        let text = "name: a\npretrain_flow: {features: {file: a.h5}}\n";
        let message = load_text(text, &["pretrain_flow.steps=0"]).unwrap_err();
        assert!(message.to_string().contains("pretrain_flow.steps: found 0"));
        let loaded = load_text(text, &["pretrain_flow.steps=7"]).unwrap();
        assert_eq!(loaded.experiment.pretrain_flow.unwrap().steps, 7);
    }

    #[test]
    fn paths_are_relative_to_the_file_and_become_absolute() {
        let text = "name: a\npretrain_flow: {features: {file: a.h5}}\n";
        let loaded = load_text(text, &["pretrain_flow.features.file=sub/../b.h5"]).unwrap();
        let files = loaded.experiment.pretrain_flow.unwrap().features.file;
        let path = files.first();
        assert!(path.is_absolute());
        assert!(path.ends_with("b.h5"));
        assert_eq!(path.parent(), loaded.file.parent());
    }
}
