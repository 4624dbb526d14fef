//! What a stage reads of another one, which may belong to another experiment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

/// The artifact of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The YAML file of the experiment, relative to the configuration file; this experiment if absent.
    #[serde(default)]
    pub experiment: Option<PathBuf>,
    /// The stage whose artifact is read.
    pub stage: Producer,
}

/// A stage that leaves HDF5 for others to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Producer {
    /// Features as points of the flow (held_out.h5, test.h5), and samples (samples.h5).
    PretrainFlow,
    /// Latents (latents.h5) and reconstructions (reconstructions.h5).
    TrainAutoencoder,
    /// Semantic features of data and their classes (features.h5).
    TrainClassifier,
}

/// True for the name of a file, without a folder.
pub fn is_file_name(path: &Path) -> bool {
    let mut parts = path.components();
    matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(name)), None) if name == path.as_os_str()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_stays_in_its_folder() {
        assert!(is_file_name(Path::new("latents.h5")));
        for bad in ["", ".", "..", "../a", "a/b", "/a", "a/", "./a"] {
            assert!(!is_file_name(Path::new(bad)), "{bad}");
        }
    }
}
