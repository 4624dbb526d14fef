//! The defaults as commented YAML, and JSON Schemas.
//!
//! Both are derived from the types: a new key is documented by its doc comment.

use super::Experiment;
use super::experiment::example_of;
use anyhow::{Context as _, Result};
use latent_align_stages::stages::Stage;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// The JSON Schema of `T`, a type of a file that users write, such as [`Experiment`].
pub fn json_schema<T: JsonSchema>() -> Result<String> {
    let schema = schemars::schema_for!(T);
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}

/// The JSON Schema of [`Experiment`]. The keys that a stage requires are required only without a `base`, which may
/// have them.
pub fn experiment_schema() -> Result<String> {
    let mut schema = serde_json::to_value(schemars::schema_for!(Experiment))?;
    let mut sections = Map::new();
    for stage in Stage::ALL {
        let section = stage.section();
        let definition = definition_of(&schema["properties"][section]);
        let definition = definition.with_context(|| format!("`{section}` has no definition"))?;
        let definition = schema["$defs"][definition.as_str()].as_object_mut();
        if let Some(required) = definition.and_then(|map| map.shift_remove("required")) {
            sections.insert(section.to_owned(), json!({ "required": required }));
        }
    }
    schema["if"] = json!({ "not": { "required": ["base"] } });
    schema["then"] = json!({ "properties": sections });
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}

/// The name in `$defs` of a property that is a definition, or one or null.
fn definition_of(property: &Value) -> Option<String> {
    let choices = property["anyOf"].as_array().into_iter().flatten();
    let mut places = choices.chain([property]);
    let name = places.find_map(|place| place["$ref"].as_str()?.rsplit('/').next())?;
    Some(name.to_owned())
}

/// An experiment with every stage at its defaults; keys without defaults have example values.
pub fn example() -> Result<Experiment> {
    let mut tree = json!({"name": "example"});
    for stage in Stage::ALL {
        tree[stage.section()] = example_of(stage);
    }
    serde_json::from_value(tree).context("the defaults do not make an experiment")
}

/// [`example`] as YAML, with the documentation above every key.
pub fn commented_defaults() -> Result<String> {
    let schema = serde_json::to_value(schemars::schema_for!(Experiment))?;
    let printer = Printer {
        definitions: schema.get("$defs").cloned().unwrap_or_default(),
    };
    let mut out = String::from(
        "# Every key with its default. `name`, the files and `latent.width` have no default: these are examples.\n",
    );
    let tree = serde_json::to_value(example()?)?;
    printer.section(&mut out, &tree, &schema, 0)?;
    Ok(out)
}

struct Printer {
    definitions: Value,
}

impl Printer {
    fn section(&self, out: &mut String, tree: &Value, schema: &Value, depth: usize) -> Result<()> {
        let Value::Object(map) = tree else {
            return Ok(());
        };
        let pad = "  ".repeat(depth);
        for (key, value) in map {
            let property = self.property(schema, map, key);
            if depth == 0 {
                out.push('\n');
            }
            for line in self.comment(&property) {
                let _ = writeln!(out, "{pad}# {line}").map(|()| trim_end(out));
            }
            match value {
                Value::Object(inner) if !inner.is_empty() => {
                    let _ = writeln!(out, "{pad}{key}:");
                    self.section(out, value, &self.resolve(&property), depth + 1)?;
                }
                // JSON is YAML, and keeps short lists on one line.
                Value::Array(_) => {
                    let items = serde_json::to_string(value)?.replace(',', ", ");
                    let _ = writeln!(out, "{pad}{key}: {items}");
                }
                leaf => {
                    let _ = write!(out, "{pad}{key}: {}", serde_yaml::to_string(leaf)?);
                    if !out.ends_with('\n') {
                        out.push('\n');
                    }
                }
            }
        }
        Ok(())
    }

    /// The schema of `key` in a map shaped like `map`; for a tagged enum, from the variant with the
    /// map's `kind`.
    fn property(&self, schema: &Value, map: &Map<String, Value>, key: &str) -> Value {
        if let Some(found) = schema.pointer(&format!("/properties/{key}")) {
            return found.clone();
        }
        variants(schema)
            .iter()
            .map(|v| self.resolve(v))
            .find(|v| v.pointer("/properties/kind/const") == map.get("kind"))
            .and_then(|v| v.pointer(&format!("/properties/{key}")).cloned())
            .unwrap_or_default()
    }

    /// The comment above a key: its documentation, and its choices if it has any.
    fn comment(&self, property: &Value) -> Vec<String> {
        let mut lines = wrap(description(property).unwrap_or_default());
        let schema = self.resolve(property);
        let choices: Vec<(String, String)> = variants(&schema)
            .iter()
            .flat_map(|v| self.choices(&self.resolve(v)))
            .collect();
        if choices.len() > 1 {
            lines.extend(
                choices
                    .into_iter()
                    .map(|(name, meaning)| format!("  {name}: {meaning}")),
            );
        }
        lines
    }

    fn choices(&self, variant: &Value) -> Vec<(String, String)> {
        let meaning = description(variant).unwrap_or_default().replace('\n', " ");
        if let Some(kind) = variant
            .pointer("/properties/kind/const")
            .and_then(Value::as_str)
        {
            let keys = variant.get("properties").and_then(Value::as_object);
            let keys: Vec<&str> = keys
                .into_iter()
                .flat_map(|k| k.keys().map(String::as_str))
                .filter(|k| *k != "kind")
                .collect();
            let keys = match keys.as_slice() {
                [] => String::new(),
                some => format!(", {}", some.join(", ")),
            };
            return vec![(format!("{{kind: {kind}{keys}}}"), meaning)];
        }
        let names = variant.get("const").into_iter();
        let names = names.chain(
            variant
                .get("enum")
                .and_then(Value::as_array)
                .into_iter()
                .flatten(),
        );
        names
            .filter_map(Value::as_str)
            .map(|n| (n.to_owned(), meaning.clone()))
            .collect()
    }

    /// Follows `$ref`, and the non-null side of an optional.
    fn resolve(&self, schema: &Value) -> Value {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let name = name.rsplit('/').next().unwrap_or(name);
            let found = self.definitions.get(name).cloned().unwrap_or_default();
            return self.resolve(&found);
        }
        let optional = schema.get("anyOf").and_then(Value::as_array);
        let inner = optional.and_then(|a| a.iter().find(|s| s.get("type") != Some(&json!("null"))));
        match inner {
            Some(inner) => self.resolve(inner),
            None => schema.clone(),
        }
    }
}

fn trim_end(out: &mut String) {
    let kept = out.trim_end_matches('\n').trim_end().len();
    out.truncate(kept);
    out.push('\n');
}

fn variants(schema: &Value) -> &[Value] {
    schema
        .get("oneOf")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn description(schema: &Value) -> Option<&str> {
    schema.get("description").and_then(Value::as_str)
}

fn wrap(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    #[test]
    fn the_printed_defaults_are_the_defaults() {
        let text = commented_defaults().unwrap();
        let parsed: Experiment = yaml::parse(&text, "defaults").unwrap();
        assert_eq!(parsed, example().unwrap());
    }

    #[test]
    fn every_key_of_the_defaults_is_documented() {
        let text = commented_defaults().unwrap();
        let mut above = "";
        for line in text.lines() {
            let is_key = !line.trim_start().starts_with('#') && line.contains(':');
            // The documentation of a `kind` is above its map.
            if is_key && !line.trim_start().starts_with("kind:") {
                assert!(
                    above.trim_start().starts_with('#'),
                    "no comment above {line}"
                );
            }
            above = line;
        }
    }

    #[test]
    fn choices_are_listed() {
        let text = commented_defaults().unwrap();
        assert!(
            text.contains("{kind: kl, weight, warm_up_steps}: KL"),
            "{text}"
        );
        assert!(text.contains("drop: Leave these rows out"), "{text}");
    }
}
