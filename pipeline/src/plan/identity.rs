//! The part of a stage's configuration that determines its result.

use latent_align_stages::stages::StageConfig;
use latent_align_stages::{Error, Result};
use serde_json::Value;
use std::path::PathBuf;

/// The configuration with the paths of inputs and of other experiments blanked, and each input's dotted key and
/// path. A file of another stage's artifact keeps its name.
///
/// # Errors
/// [`Error::Input`] for values that JSON cannot represent.
pub fn identity(config: &dyn StageConfig) -> Result<(Value, Vec<(String, PathBuf)>)> {
    let mut blank = config.boxed();
    let inputs = (blank.inputs().into_iter())
        .map(|(key, path)| (key, std::mem::take(path)))
        .collect();
    for experiment in blank.experiments() {
        *experiment = None;
    }
    let value = blank.value();
    let value = value.map_err(|e| Error::input(format!("{}: {e}", config.stage().section())))?;
    Ok((value, inputs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Experiment, example};
    use latent_align_stages::stages::pretrain_flow;
    use serde_json::json;
    use std::path::Path;

    fn flow(config: Value) -> pretrain_flow::Config {
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn inputs_are_blanked_and_named_by_their_keys() {
        let config = flow(json!({"features": {"file": "/data/a.h5"}}));
        let (value, inputs) = identity(&config).unwrap();
        assert_eq!(inputs, [("features.file".into(), "/data/a.h5".into())]);
        assert_eq!(value["features"]["file"], "");
        assert_eq!(value["steps"], 3000);
    }

    #[test]
    fn a_file_of_an_artifact_keeps_its_name_and_its_experiment_has_none() {
        let from = json!({"experiment": "/a/other.yaml", "stage": "train_autoencoder"});
        let config = flow(json!({"features": {"from": from, "file": "latents.h5"}}));
        let (value, inputs) = identity(&config).unwrap();
        assert_eq!(inputs, []);
        assert_eq!(value["features"]["file"], "latents.h5");
        assert_eq!(value["features"]["from"]["experiment"], json!(null));
        let reads = config.reads();
        assert_eq!(
            reads[0].experiment.as_deref(),
            Some(Path::new("/a/other.yaml"))
        );
    }

    /// Fails if a stage names an input by a wrong key.
    #[test]
    fn the_keys_of_inputs_are_where_their_paths_are() {
        let mut tree = serde_json::to_value(example().unwrap()).unwrap();
        for section in ["pretrain_flow", "train_autoencoder", "train_classifier"] {
            for part in ["held_out", "test"] {
                tree[section][part] = json!({"file": format!("{section}-{part}.h5")});
            }
        }
        let experiment: Experiment = serde_json::from_value(tree).unwrap();
        let mut found = 0;
        for section in experiment.sections().0 {
            let value = section.value().unwrap();
            for (key, path) in section.boxed().inputs() {
                let pointer = format!("/{}", key.replace('.', "/"));
                assert_eq!(value.pointer(&pointer), Some(&json!(path)), "{key}");
                found += 1;
            }
        }
        assert_eq!(found, 9);
    }
}
