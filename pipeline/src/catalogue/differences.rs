//! Differences between two artifacts; artifacts that two runs share, and why they do not share the
//! others.

use super::runs::RunEntry;
use crate::config::diff;
use crate::store::{Manifest, Stage};
use serde_json::Value;
use std::path::Path;

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// `setting`, `stage`, `input`, ...
    pub what: &'static str,
    /// The key, or the stage.
    pub name: String,
    /// The value of the first.
    pub one: Option<String>,
    /// The value of the second.
    pub other: Option<String>,
    /// The reason, if it is not the values.
    pub why: String,
}

/// The differences of two configurations, key by key.
fn settings(one: &Value, other: &Value) -> Vec<Difference> {
    let text = |value: Option<&Value>| {
        let value = value?;
        Some(
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned),
        )
    };
    let rows = diff(one, other).into_iter();
    let rows = rows.map(|row| plain("setting", &row.key, text(row.one), text(row.other)));
    rows.filter(|row| row.one != row.other).collect()
}

/// The differences of two artifacts: what they were computed from, and their figures.
pub fn artifacts(one: &Manifest, other: &Manifest) -> Vec<Difference> {
    let about = |m: &Manifest| {
        [
            ("stage", m.stage.to_string()),
            ("format", m.format.to_string()),
            ("seed", m.seed.to_string()),
            ("device", m.device.clone()),
            ("program", program(m)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    };
    let mut rows = named("artifact", about(one).into(), about(other).into());
    rows.extend(settings(&one.config, &other.config));
    let inputs = |m: &Manifest| {
        m.inputs
            .iter()
            .map(|i| (i.key.clone(), short(&i.digest)))
            .collect()
    };
    rows.extend(named("input", inputs(one), inputs(other)));
    let upstream = |m: &Manifest| {
        let each = m.upstream.iter();
        each.map(|u| {
            (
                u.name(),
                format!("{}, contents {}", u.fingerprint, short(&u.contents)),
            )
        })
        .collect()
    };
    rows.extend(named("upstream", upstream(one), upstream(other)));
    let outputs = |m: &Manifest| {
        m.outputs
            .iter()
            .map(|(n, o)| (n.clone(), short(&o.digest)))
            .collect()
    };
    rows.extend(named("output", outputs(one), outputs(other)));
    rows.retain(|row| row.one != row.other);
    rows
}

/// The stages of two runs: which artifacts they share, and why not the others.
pub fn stages(one: &RunEntry, other: &RunEntry) -> Vec<Difference> {
    let mut rows = Vec::new();
    for stage in Stage::ALL {
        let place = |run: &RunEntry| {
            let found = run.stages.iter().find(|s| s.stage == stage)?;
            Some((found.fingerprint.clone(), found.dir.clone()))
        };
        let (ours, theirs) = (place(one), place(other));
        let why = match (&ours, &theirs) {
            (None, None) => continue,
            (Some(_), None) => format!("{} has no such stage", other.name),
            (None, Some(_)) => format!("{} has no such stage", one.name),
            (Some(ours), Some(theirs)) if ours.0 == theirs.0 => "shared".into(),
            (Some(ours), Some(theirs)) => reasons(stage, &ours.1, &theirs.1),
        };
        let fingerprint = |place: Option<(String, _)>| place.map(|p| p.0);
        rows.push(Difference {
            why,
            ..plain(
                "stage",
                stage.name(),
                fingerprint(ours),
                fingerprint(theirs),
            )
        });
    }
    rows
}

/// Why two folders of a stage do not hold the same artifact.
fn reasons(stage: Stage, one: &Path, other: &Path) -> String {
    let (one, other) = match (Manifest::read(one), Manifest::read(other)) {
        (Ok(one), Ok(other)) => (one, other),
        (Err(why), _) | (_, Err(why)) => return format!("not known: {why}").replace('\n', " "),
    };
    let differences = artifacts(&one, &other);
    let because = differences.iter().filter_map(|d| match d.what {
        "setting" => Some(format!("{}.{}", stage.section(), d.name)),
        "input" => Some(format!("the file of {}", d.name)),
        "upstream" => Some(format!("the {} that it reads", d.name)),
        "artifact" if ["seed", "format"].contains(&d.name.as_str()) => Some(d.name.clone()),
        _ => None,
    });
    let because: Vec<String> = because.collect();
    match because.is_empty() {
        true => "computed from the same".into(),
        false => format!("differ in {}", because.join(", ")),
    }
}

fn plain(what: &'static str, name: &str, one: Option<String>, other: Option<String>) -> Difference {
    Difference {
        what,
        name: name.to_owned(),
        one,
        other,
        why: String::new(),
    }
}

fn named(
    what: &'static str,
    one: Vec<(String, String)>,
    other: Vec<(String, String)>,
) -> Vec<Difference> {
    let get = |all: &[(String, String)], name: &str| {
        all.iter().find(|n| n.0 == name).map(|n| n.1.clone())
    };
    let mut names: Vec<&String> = one.iter().map(|n| &n.0).collect();
    names.extend(
        other
            .iter()
            .map(|n| &n.0)
            .filter(|name| one.iter().all(|o| o.0 != **name)),
    );
    names
        .into_iter()
        .map(|name| plain(what, name, get(&one, name), get(&other, name)))
        .collect()
}

fn program(manifest: &Manifest) -> String {
    let revision = manifest
        .program
        .revision
        .as_ref()
        .map_or(String::new(), |r| format!(" ({r})"));
    format!("{}{revision}", manifest.program.version)
}

fn short(digest: &str) -> String {
    digest.get(..16).unwrap_or(digest).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_of_either_side_are_told() {
        let one = json!({"a": {"b": 1, "c": "x"}, "same": true});
        let other = json!({"a": {"b": 2}, "d": null, "same": true});
        let rows = settings(&one, &other);
        let told = rows
            .iter()
            .map(|r| (r.name.as_str(), r.one.as_deref(), r.other.as_deref()));
        let expected = [
            ("a.b", Some("1"), Some("2")),
            ("a.c", Some("x"), None),
            ("d", None, Some("null")),
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }
}
