//! References to artifacts of other stages, possibly of other experiments.

use super::name::Stage;
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
    /// The stage that makes the artifact.
    #[serde(with = "by_section")]
    #[schemars(with = "by_section::Name")]
    pub stage: Stage,
}

/// A stage with HDF5 outputs, serialised by the name of its section.
mod by_section {
    use super::Stage;
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use serde_json::json;
    use std::borrow::Cow;
    use std::sync::LazyLock;

    static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let leaving = Stage::ALL.into_iter().filter(|s| s.leaves().is_some());
        leaving.map(Stage::section).collect()
    });

    pub fn serialize<S: Serializer>(stage: &Stage, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(stage.section())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Stage, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        let mut leaving = Stage::ALL.into_iter().filter(|s| s.leaves().is_some());
        let found = leaving.find(|stage| stage.section() == name);
        found.ok_or_else(|| D::Error::unknown_variant(&name, &NAMES))
    }

    /// For its schema.
    pub struct Name;

    impl JsonSchema for Name {
        fn schema_name() -> Cow<'static, str> {
            "Producer".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            let of = |stage: Stage| {
                let description = stage.leaves()?;
                let name = stage.section();
                Some(json!({"description": description, "type": "string", "const": name}))
            };
            let each: Vec<_> = Stage::ALL.into_iter().filter_map(of).collect();
            json_schema!({
                "description": "A stage with HDF5 outputs that others may read.",
                "oneOf": each,
            })
        }
    }
}

/// Whether `path` is a file name without a directory.
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
    use serde_json::json;

    /// Fails if a stage without HDF5 outputs can be named.
    #[test]
    fn a_stage_that_leaves_hdf5_is_named_by_its_section_and_no_other() {
        let read = |name: &str| serde_json::from_value::<Reference>(json!({"stage": name}));
        let found = read("train_autoencoder").unwrap();
        assert_eq!(found.stage, Stage::TrainAutoencoder);
        let written = json!({"experiment": null, "stage": "train_autoencoder"});
        assert_eq!(serde_json::to_value(found).unwrap(), written);
        let told = read("estimate_nll").unwrap_err().to_string();
        let expected = "`train_classifier`, `pretrain_flow`, `train_autoencoder`";
        assert!(
            told.contains("`estimate_nll`") && told.contains(expected),
            "{told}"
        );
    }

    #[test]
    fn a_file_name_stays_in_its_folder() {
        assert!(is_file_name(Path::new("latents.h5")));
        for bad in ["", ".", "..", "../a", "a/b", "/a", "a/", "./a"] {
            assert!(!is_file_name(Path::new(bad)), "{bad}");
        }
    }
}
