//! Settings of an experiment that differ from the defaults.

use super::Experiment;
use serde_json::Value;

/// A key whose value is not its default.
#[derive(Debug, PartialEq)]
pub struct Setting {
    /// Dotted key.
    pub key: String,
    pub value: Value,
    /// Default value; None if there is none, or the section would be absent.
    pub default: Option<Value>,
}

/// Every leaf of `experiment` that would be different or absent without its entry in the file; the
/// default is determined by leaving the key out.
pub fn differing(experiment: &Experiment) -> Vec<Setting> {
    let mut found = Vec::new();
    if let Ok(tree) = serde_json::to_value(experiment) {
        walk(&tree, "", None, &mut found);
    }
    found
}

/// Adds differences below the pointer `at`; `default` is the tree with the nearest parent omitted.
fn walk(tree: &Value, at: &str, default: Option<&Value>, found: &mut Vec<Setting>) {
    let Some(Value::Object(map)) = tree.pointer(at) else {
        return;
    };
    for (name, value) in map {
        if value.is_null() {
            continue; // omitted keys are not settings
        }
        let pointer = format!("{at}/{name}");
        let without = without(tree, at, name);
        if without.as_ref() == Some(tree) {
            continue;
        }
        let default = without.as_ref().or(default);
        match value {
            Value::Object(inner) if !inner.is_empty() => walk(tree, &pointer, default, found),
            _ => {
                let default = default.and_then(|d| d.pointer(&pointer)).cloned();
                if default.as_ref() != Some(value) {
                    found.push(Setting {
                        key: pointer[1..].replace('/', "."),
                        value: value.clone(),
                        default: default.filter(|d| !d.is_null()),
                    });
                }
            }
        }
    }
}

/// The tree of the experiment without the key `name` below `at`; None if the key is required.
fn without(tree: &Value, at: &str, name: &str) -> Option<Value> {
    let mut tree = tree.clone();
    tree.pointer_mut(at)?.as_object_mut()?.shift_remove(name);
    let experiment: Experiment = serde_json::from_value(tree).ok()?;
    serde_json::to_value(experiment).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_set_otherwise_is_told_with_its_default() {
        let experiment: Experiment = serde_json::from_value(json!({
            "name": "a",
            "seed": 0,
            "pretrain_flow": {"features": {"file": "a.h5"}, "steps": 7},
            "train_autoencoder": {
                "data": {"file": "b.h5"},
                "latent": {"width": 3},
                "regulariser": {"kind": "alignment", "weight": 0.5, "weighting": "likelihood"},
            },
        }))
        .unwrap();
        let found = differing(&experiment);
        let of = |key: &str| found.iter().find(|s| s.key == key);
        assert_eq!(of("name").unwrap().default, None);
        assert_eq!(of("pretrain_flow.steps").unwrap().value, json!(7));
        assert!(of("pretrain_flow.steps").unwrap().default.is_some());
        assert_eq!(
            of("train_autoencoder.regulariser.weighting")
                .unwrap()
                .default,
            Some(json!("uniform"))
        );
        for untouched in [
            "seed",
            "device",
            "pretrain_flow.batch",
            "train_autoencoder.optimiser.ema",
        ] {
            assert_eq!(of(untouched), None, "{untouched}");
        }
    }

    #[test]
    fn only_what_was_set_is_told() {
        let written = json!({
            "name": "a",
            "pretrain_flow": {"features": {"file": "a.h5"}, "steps": 7},
        });
        let experiment: Experiment = serde_json::from_value(written).unwrap();
        let told: Vec<String> = differing(&experiment).into_iter().map(|s| s.key).collect();
        assert_eq!(
            told,
            ["name", "pretrain_flow.features.file", "pretrain_flow.steps"]
        );
    }
}
