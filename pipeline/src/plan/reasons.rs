//! Changes since an experiment last ran a stage.

use crate::config::{Change, diff};
use crate::store::{FORMAT, Key, Manifest, RunFolder, Stage, Store, entry_name};
use serde_json::Value;
use std::path::PathBuf;

/// Why the artifact of `manifest` no longer follows from its upstream: an artifact it read was computed
/// again with another result. None if it does.
pub fn stale_upstream(manifest: &Manifest, key: &Key) -> Option<String> {
    for upstream in &key.upstream {
        let mut recorded = manifest.upstream.iter();
        let Some(recorded) = recorded.find(|u| u.role.as_deref() == Some(upstream.role)) else {
            return Some(format!(
                "it has no record of the {} it read",
                upstream.name()
            ));
        };
        match Manifest::read(&upstream.dir) {
            Err(why) => return Some(format!("{}: {why}", upstream.name())),
            Ok(now) if now.contents() != recorded.contents => {
                return Some(format!(
                    "{} was computed again with another result: contents {} -> {}",
                    upstream.name(),
                    short(&recorded.contents),
                    short(&now.contents())
                ));
            }
            Ok(_) => {}
        }
    }
    None
}

/// The artifact of `stage` of the experiment's last run that reached it.
fn last_of(store: &Store, name: &str, stage: Stage) -> Option<PathBuf> {
    let newest = RunFolder::of(store, name);
    let older = newest.earlier().into_iter().rev();
    let older = older.map(|number| RunFolder::of(store, &entry_name(name, number)));
    let mut entries = std::iter::once(newest.clone()).chain(older);
    entries.find_map(|run| run.linked(stage))
}

/// How many seconds `stage` took in the experiment's last run that reached it.
pub fn took_last(store: &Store, name: &str, stage: Stage) -> Option<f64> {
    let last = Manifest::read(&last_of(store, name, stage)?).ok()?;
    Some(last.seconds)
}

/// Differences between `key` and the artifact of the stage from the experiment's last run; from an
/// older entry of its history if the newest did not reach that stage.
pub fn since_last(store: &Store, name: &str, key: &Key) -> Vec<String> {
    let Some(last) = last_of(store, name, key.stage) else {
        return vec!["never run".into()];
    };
    let fingerprint = key.fingerprint();
    if last
        .file_name()
        .is_some_and(|name| name == fingerprint.as_str())
    {
        return vec!["its artifact was deleted".into()];
    }
    if Manifest::is_former(&last) {
        return vec!["the format of artifacts changed".into()];
    }
    let Ok(last) = Manifest::read(&last) else {
        return vec!["never run with this configuration".into()];
    };
    if last.format != FORMAT {
        return vec![format!(
            "the format of artifacts changed: {} -> {FORMAT}",
            last.format
        )];
    }
    let mut reasons = differences(&last, key);
    if reasons.is_empty() {
        reasons.push("never run with this configuration".into());
    }
    reasons
}

fn differences(last: &Manifest, key: &Key) -> Vec<String> {
    let section = key.stage.section();
    let mut reasons = Vec::new();
    if last.seed != key.seed {
        reasons.push(format!("seed: {} -> {}", last.seed, key.seed));
    }
    for Change { key, one, other } in diff(&key.config, &last.config) {
        reasons.push(format!("{section}.{key}: {} -> {}", show(other), show(one)));
    }
    for (name, path, record) in &key.inputs {
        let old = last.inputs.iter().find(|i| i.key == *name);
        if let Some(old) = old.filter(|old| old.digest != record.digest) {
            reasons.push(format!(
                "{section}.{name}: {} changed, digest {} -> {}",
                path.display(),
                short(&old.digest),
                short(&record.digest)
            ));
        }
    }
    for upstream in &key.upstream {
        let mut old = last.upstream.iter();
        let old = old.find(|u| u.role.as_deref() == Some(upstream.role));
        match old {
            Some(old) if old.fingerprint == upstream.fingerprint => {}
            Some(old) => reasons.push(format!(
                "{} changes: {} -> {}",
                upstream.name(),
                old.fingerprint,
                upstream.fingerprint
            )),
            None => reasons.push(format!("{} is new", upstream.name())),
        }
    }
    for old in &last.upstream {
        if !key
            .upstream
            .iter()
            .any(|u| Some(u.role) == old.role.as_deref())
        {
            reasons.push(format!("{} is gone", old.name()));
        }
    }
    reasons
}

fn show(value: Option<&Value>) -> String {
    let text = match value {
        None => return "(absent)".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    if text.chars().count() > 40 {
        text.chars().take(39).chain(['…']).collect()
    } else {
        text
    }
}

fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}
