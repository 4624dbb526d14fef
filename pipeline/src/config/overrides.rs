//! `--set key=value` and settings of a sweep: any key of the experiment, type-checked.
//!
//! The typed experiment with its defaults is converted to a tree, the key is replaced, and the tree
//! is converted back, which checks types.

use super::Experiment;
use super::suggest::{hint, list, meant_key, question};
use super::tree::flatten;
use super::unknown::{remove, unknown_key};
use super::words::{in_words, kind_of_node};
use super::yaml::{parse_value, whole_number};
use latent_align_stages::{Error, Result};
use serde_json::{Map, Value};

/// At most this many keys are suggested.
const MOST: usize = 6;

/// A key and its new value.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    key: String,
    value: Value,
    /// The value as written: some texts look like numbers.
    text: String,
    /// Name of the assignment in messages.
    source: String,
    /// Common name in messages about several assignments: the file of a variation, without line and
    /// column.
    group: String,
}

impl Assignment {
    /// Parses `key=value` from the command line.
    ///
    /// # Errors
    /// [`Error::Input`] if it has no `=`, or the value is not YAML.
    pub fn parse(given: &str) -> Result<Self> {
        let (key, text) = given.split_once('=').ok_or_else(|| {
            Error::input(format!(
                "--set {given}: expected key=value, such as --set pretrain_flow.steps=1000"
            ))
        })?;
        Ok(Self {
            key: key.to_owned(),
            value: parse_value(text, &format!("--set {key}"))?,
            text: text.to_owned(),
            source: format!("--set {given}"),
            group: format!("--set {given}"),
        })
    }

    /// Sets `key` to `value`; messages call the assignment `source`.
    pub fn new(key: &str, value: Value, source: String) -> Self {
        Self {
            key: key.to_owned(),
            text: value.to_string(),
            value,
            group: source.clone(),
            source,
        }
    }

    /// Sets `key` to `value` in a file, at line and column `place` if known.
    pub fn in_file(key: &str, value: Value, file: &str, place: Option<(usize, usize)>) -> Self {
        let mut made = Self::new(key, value, file.to_owned());
        if let Some((line, column)) = place {
            made.source = format!("{file}:{line}:{column}");
        }
        made
    }

    /// The dotted key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Name in messages.
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// Applies the assignments `set` to `experiment` in order.
///
/// # Errors
/// [`Error::Input`] that names the invalid assignment and the nearest key.
pub fn apply(experiment: Experiment, set: &[Assignment]) -> Result<Experiment> {
    if set.is_empty() {
        return Ok(experiment);
    }
    let mut tree = serde_json::to_value(&experiment)
        .map_err(|e| Error::input(format!("the configuration cannot be overridden: {e}")))?;
    let keys: Vec<String> = flatten(&tree).into_iter().map(|leaf| leaf.0).collect();
    for assignment in set {
        replace(&mut tree, assignment)
            .map_err(|why| Error::input(format!("{}: {why}", assignment.source)))?;
        replace_the_other_of_devices(&mut tree, assignment.key());
    }
    let mut unknown = Vec::new();
    loop {
        let wrong = match serde_path_to_error::deserialize(&tree) {
            Ok(experiment) if unknown.is_empty() => {
                refuse_lists_for_sections(&tree, &experiment, set)?;
                return Ok(experiment);
            }
            Ok(_) => break,
            Err(wrong) => wrong,
        };
        match unknown_key(&wrong).filter(|key| remove(&mut tree, key)) {
            Some(key) => unknown.push(explain(&wrong, set, &nested(&key, &keys, set))),
            None if unknown.is_empty() => return Err(explain(&wrong, set, &[])),
            None => break,
        }
    }
    match unknown.len() {
        1 => Err(unknown.remove(0)),
        many => {
            let told: Vec<String> = unknown.iter().map(ToString::to_string).collect();
            let told = told.join("\n  ");
            Err(Error::input(format!("{many} unknown keys\n  {told}")))
        }
    }
}

/// `device` and `devices` replace each other: the one that is set last counts.
fn replace_the_other_of_devices(tree: &mut Value, set: &str) {
    let other = match set {
        "device" => "devices",
        "devices" => "device",
        _ => return,
    };
    if let Some(keys) = tree.as_object_mut() {
        keys.remove(other);
    }
}

/// Refuses a list in the place of a section, which serde takes for the section's values in their order.
fn refuse_lists_for_sections(
    tree: &Value,
    experiment: &Experiment,
    set: &[Assignment],
) -> Result<()> {
    let meant = serde_json::to_value(experiment).unwrap_or_default();
    let Some(key) = list_for_section(tree, &meant) else {
        return Ok(());
    };
    let source = blamed(set, &key)[0].source();
    let expected = kind_of_node("mapping start");
    Err(Error::input(format!(
        "{source}: {key}: found a list, expected {expected}"
    )))
}

/// The dotted key of a list in `given` that is a mapping in `meant`.
fn list_for_section(given: &Value, meant: &Value) -> Option<String> {
    let inside = |key: String, given: &Value, meant: &Value| match (given, meant) {
        (Value::Array(_), Value::Object(_)) => Some(key),
        _ => list_for_section(given, meant).map(|below| format!("{key}.{below}")),
    };
    match (given, meant) {
        (Value::Object(given), Value::Object(meant)) => given
            .iter()
            .find_map(|(key, value)| inside(key.clone(), value, meant.get(key)?)),
        (Value::Array(given), Value::Array(meant)) => {
            let mut pairs = given.iter().zip(meant).enumerate();
            pairs.find_map(|(at, (given, meant))| inside(at.to_string(), given, meant))
        }
        _ => None,
    }
}

/// The keys among `keys` that end like the unknown `key`, or like the key of the assignment that set it.
fn nested(key: &str, keys: &[String], set: &[Assignment]) -> Vec<String> {
    let (section, word) = key.rsplit_once('.').unwrap_or(("", key));
    let given = set.iter().map(Assignment::key);
    let given = given.filter(|given| *given == key || given.starts_with(&format!("{key}.")));
    let ends = given.chain([word]).map(|end| format!(".{end}"));
    let inside = |candidate: &&String| section.is_empty() || candidate.starts_with(section);
    let mut found = ends.map(|end| {
        let found = keys.iter().filter(|key| key.ends_with(&end));
        found.filter(inside).cloned().collect::<Vec<_>>()
    });
    found.find(|found| !found.is_empty()).unwrap_or_default()
}

/// Puts the assignment's value at its key.
pub fn replace(tree: &mut Value, assignment: &Assignment) -> Result<(), String> {
    let (parents, last) = match assignment.key.rsplit_once('.') {
        Some((parents, last)) => (parents.split('.').collect(), last),
        None => (Vec::new(), assignment.key.as_str()),
    };
    let value = whole(assignment.value.clone());
    if last.is_empty() || parents.iter().any(|p: &&str| p.is_empty()) {
        return Err(format!(
            "the key `{}` is empty or has an empty part",
            assignment.key
        ));
    }
    let mut node = tree;
    for (depth, part) in parents.iter().enumerate() {
        node = child(node, part, &parents[..depth])?;
    }
    if begins_a_section(node) {
        *node = Value::Object(Map::new());
    }
    if !node.is_object() && !node.is_array() {
        return Err(not_a_section(&parents));
    }
    match node {
        // Keys beside a kind belong to it; a new kind starts from its own defaults.
        Value::Object(map) if last == "kind" => {
            if map.get(last) != Some(&value) {
                map.clear();
                map.insert(last.into(), value);
            }
        }
        Value::Object(map) => {
            let is_text = map.get(last).is_some_and(Value::is_string);
            let value = match value {
                Value::Number(_) | Value::Bool(_) if is_text => {
                    Value::String(assignment.text.clone())
                }
                value => value,
            };
            map.insert(last.into(), value);
        }
        list => *child(list, last, &parents)? = value,
    }
    Ok(())
}

/// `value` with numbers such as 1e3 as the whole numbers they are.
fn whole(value: Value) -> Value {
    match value {
        Value::Number(ref number) if number.is_f64() => {
            let exact = number.as_f64().and_then(whole_number);
            exact.map_or(value, Value::from)
        }
        Value::Array(items) => items.into_iter().map(whole).collect(),
        Value::Object(map) => map.into_iter().map(|(key, v)| (key, whole(v))).collect(),
        other => other,
    }
}

fn child<'a>(node: &'a mut Value, part: &str, above: &[&str]) -> Result<&'a mut Value, String> {
    if begins_a_section(node) {
        *node = Value::Object(Map::new());
    }
    match node {
        Value::Object(map) => {
            // An absent section without an entry in the tree may still be a key of the type.
            Ok(map.entry(part).or_insert(Value::Null))
        }
        Value::Array(items) => {
            let length = items.len();
            part.parse::<usize>()
                .ok()
                .and_then(|i| items.get_mut(i))
                .ok_or_else(|| format!("`{part}` is not an index below {length}"))
        }
        _ => Err(not_a_section(above)),
    }
}

/// Whether a key below `node` makes it a section: if it is absent, or a word, which may stand for a variant of a type
/// that also has sections, such as `rows: tokens` beside `rows: {split: 4}`.
fn begins_a_section(node: &Value) -> bool {
    node.is_null() || node.is_string()
}

fn not_a_section(path: &[&str]) -> String {
    format!("`{}` is a value, not a section", path.join("."))
}

/// Translates serde's message about a tree for the author of the assignments; `nested` are keys that an unknown one
/// may stand for.
fn explain(
    error: &serde_path_to_error::Error<serde_json::Error>,
    set: &[Assignment],
    nested: &[String],
) -> Error {
    let path = error.path().to_string();
    let message = in_words(&error.inner().to_string());
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let section = if path == "." { "" } else { &path };
    let wrong = match quoted.as_slice() {
        [word, expected @ ..] if message.starts_with("unknown field") => {
            let section = section.strip_suffix(word).unwrap_or(section);
            let section = section.trim_end_matches('.');
            let place = if section.is_empty() {
                String::new()
            } else {
                format!(" in `{section}`")
            };
            let meant = meant_key(word, expected);
            match (nested, meant) {
                ([], meant) => {
                    let expected = list(expected);
                    format!("unknown key `{word}`{place}, expected {expected}") + &question(meant)
                }
                (_, Some(meant)) => format!("unknown key `{word}`{place}") + &question(Some(meant)),
                (nested, None) => {
                    let nested: Vec<&str> = nested.iter().map(String::as_str).collect();
                    let more = nested.len().saturating_sub(MOST);
                    let more = if more > 0 {
                        format!(" or {more} more")
                    } else {
                        String::new()
                    };
                    let shown = &nested[..nested.len().min(MOST)];
                    format!(
                        "unknown key `{word}`{place}; did you mean {}{more}?",
                        list(shown)
                    )
                }
            }
        }
        [word, expected @ ..] if message.starts_with("unknown variant") => {
            let expects = list(expected);
            format!("{section}: unknown value `{word}`, expected {expects}") + &hint(word, expected)
        }
        [word, ..] if message.starts_with("missing field") => {
            let place = if section.is_empty() {
                (*word).to_owned()
            } else {
                format!("{section}.{word}")
            };
            format!("the key `{place}` is missing")
        }
        _ => format!("{section}: {message}"),
    };
    let blamed = blamed(set, section);
    let mut sources: Vec<&str> = match &blamed[..] {
        [one] => vec![one.source()],
        many => many.iter().map(|a| a.group.as_str()).collect(),
    };
    sources.dedup();
    Error::input(format!("{}: {wrong}", sources.join(" ")))
}

/// The assignments at or below `path`, or all of them if there are none.
fn blamed<'a>(set: &'a [Assignment], path: &str) -> Vec<&'a Assignment> {
    let around = |a: &&Assignment| path.starts_with(&a.key) || a.key.starts_with(path);
    let near: Vec<&Assignment> = set.iter().filter(around).collect();
    if near.is_empty() {
        set.iter().collect()
    } else {
        near
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;
    use latent_align_stages::alignment::{Alignment, Kl, RegulariserConfig};

    const TEXT: &str = "name: a\npretrain_flow: {features: {file: a.h5}}\n\
        train_autoencoder: {data: {file: b.h5}, latent: {width: 2}, regulariser: {kind: kl, weight: 3.0}}\n";

    fn set(assignments: &[&str]) -> Result<Experiment> {
        let base = yaml::parse(TEXT, "x.yaml").unwrap();
        let set: Result<Vec<Assignment>> =
            assignments.iter().map(|s| Assignment::parse(s)).collect();
        apply(base, &set?)
    }

    fn message(assignment: &str) -> String {
        set(&[assignment]).unwrap_err().to_string()
    }

    #[test]
    fn a_nested_key_is_replaced() {
        let new = set(&["train_autoencoder.regulariser.weight=0.5"]).unwrap();
        let stage = new.train_autoencoder.unwrap();
        assert_eq!(
            stage.regulariser,
            RegulariserConfig::Kl(Kl {
                weight: 0.5,
                warm_up_steps: 0,
            })
        );
    }

    #[test]
    fn a_new_kind_drops_the_keys_of_the_old_one() {
        let new = set(&["train_autoencoder.regulariser.kind=none"]).unwrap();
        let stage = new.train_autoencoder.unwrap();
        assert_eq!(stage.regulariser, RegulariserConfig::default());
        let new = set(&[
            "train_autoencoder.regulariser.kind=alignment",
            "train_autoencoder.regulariser.draws=2",
        ])
        .unwrap();
        assert!(matches!(
            new.train_autoencoder.unwrap().regulariser,
            RegulariserConfig::Alignment(Alignment { weight, draws: 2, .. }) if weight != 3.0
        ));
    }

    #[test]
    fn an_unknown_key_names_the_candidates() {
        let found = message("pretrain_flow.stpes=3");
        assert!(
            found.contains("unknown key `stpes` in `pretrain_flow`"),
            "{found}"
        );
        assert!(found.contains("did you mean `steps`?"), "{found}");
        let found = message("train_autoencoder.regulariser.wieght=3");
        assert!(found.contains("did you mean `weight`?"), "{found}");
        let found = message("sed=3");
        assert!(found.contains("did you mean `seed`?"), "{found}");
    }

    #[test]
    fn a_value_of_the_wrong_type_names_its_key() {
        let found = message("pretrain_flow.steps=many");
        assert!(
            found.contains("pretrain_flow.steps: found `many`, expected a whole number"),
            "{found}"
        );
        assert!(message("seed.x=1").contains("`seed` is a value, not a section"));
        let found = message("name.x=1");
        assert!(
            found.contains("name: found a mapping, expected text"),
            "{found}"
        );
        assert!(message("seed").contains("expected key=value"));
        assert!(message("seed=.nan").contains(".nan"));
    }

    #[test]
    fn a_section_may_replace_a_word() {
        let tree = set(&["pretrain_flow.rows.split=4"]).unwrap();
        let flow = serde_json::to_value(tree.pretrain_flow).unwrap();
        assert_eq!(flow["rows"], serde_json::json!({"split": 4}));
    }

    #[test]
    fn only_the_wrong_assignment_is_blamed() {
        let wrong = set(&["seed=3", "pretrain_flow.steps=many", "name=b"]);
        let message = wrong.unwrap_err().to_string();
        let blamed = "--set pretrain_flow.steps=many: pretrain_flow.steps: found `many`";
        assert!(message.starts_with(blamed), "{message}");
    }

    /// Detects: serde's reading of a list as the values of a section in their order.
    #[test]
    fn a_list_is_no_section() {
        for (given, key) in [
            ("estimate_nll=[]", "estimate_nll: found a list"),
            (
                "pretrain_flow.optimiser=[1e-3]",
                "pretrain_flow.optimiser: found a list",
            ),
            (
                "train_autoencoder={data: {file: b.h5}, latent: [2]}",
                "train_autoencoder.latent: found a list",
            ),
        ] {
            let found = message(given);
            assert!(
                found.contains(key) && found.contains("expected a mapping"),
                "{found}"
            );
        }
    }

    #[test]
    fn an_element_of_a_list_is_replaced() {
        let new = set(&["pretrain_flow.optimiser.betas.0=0.5"]).unwrap();
        assert_eq!(new.pretrain_flow.unwrap().optimiser.betas[0], 0.5);
        assert!(message("pretrain_flow.optimiser.betas.2=0.5").contains("below 2"));
    }

    #[test]
    fn an_absent_section_appears_and_a_present_one_is_removed() {
        let new = set(&["estimate_nll.points=9", "train_autoencoder=null"]).unwrap();
        assert_eq!(new.estimate_nll.unwrap().points, 9);
        assert_eq!(new.train_autoencoder, None);
    }

    #[test]
    fn every_unknown_key_is_listed_at_once() {
        let set = set(&["pretrain_flow.stpes=3", "foo.bar=1", "seed=2"]);
        let found = set.unwrap_err().to_string();
        assert!(found.starts_with("2 unknown keys"), "{found}");
        assert!(
            found.contains("unknown key `stpes`") && found.contains("unknown key `foo`"),
            "{found}"
        );
    }

    #[test]
    fn the_end_of_a_key_suggests_the_whole_key() {
        let found = message("weight=0.1");
        assert!(
            found.contains("did you mean `train_autoencoder.regulariser.weight`?"),
            "{found}"
        );
        let found = message("optimiser.learning_rate=0.1");
        let keys = "`pretrain_flow.optimiser.learning_rate` or `train_autoencoder.optimiser.learning_rate`";
        assert!(found.contains(keys), "{found}");
        let found = message("pretrain_flow.learning_rate=0.1");
        assert!(
            found.contains("did you mean `pretrain_flow.optimiser.learning_rate`?"),
            "{found}"
        );
    }

    #[test]
    fn a_whole_number_may_be_written_with_an_exponent() {
        let new = set(&["pretrain_flow.steps=1e3", "estimate_nll={points: 2.0e2}"]).unwrap();
        assert_eq!(new.pretrain_flow.unwrap().steps, 1000);
        assert_eq!(new.estimate_nll.unwrap().points, 200);
        assert!(
            message("pretrain_flow.steps=1.5").contains("found `1.5`, expected a whole number")
        );
    }

    #[test]
    fn a_text_may_look_like_a_number() {
        assert_eq!(set(&["name=2026"]).unwrap().name, "2026");
    }
}
