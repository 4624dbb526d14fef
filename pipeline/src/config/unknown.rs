//! Unknown keys, one after the other: serde stops at the first.

use super::suggest::{meant_key, question};
use serde::de::DeserializeOwned;
use serde_json::Value;

type Wrong = serde_path_to_error::Error<serde_json::Error>;

/// The dotted key that `wrong` calls unknown; none for another error.
pub fn unknown_key(wrong: &Wrong) -> Option<String> {
    let message = wrong.inner().to_string();
    let word = message.strip_prefix("unknown field `")?.split('`').next()?;
    let path = wrong.path().to_string();
    let path = if path == "." { "" } else { &path };
    // a key of a map with a kind is not part of its path
    let section = path
        .strip_suffix(word)
        .unwrap_or(path)
        .trim_end_matches('.');
    Some(match section {
        "" => word.to_owned(),
        section => format!("{section}.{word}"),
    })
}

/// Removes `key`; false if it is not in `tree`.
pub fn remove(tree: &mut Value, key: &str) -> bool {
    let (section, word) = key.rsplit_once('.').unwrap_or(("", key));
    let mut parts = section.split('.').filter(|part| !part.is_empty());
    let section = parts.try_fold(tree, |at, part| match at {
        Value::Array(items) => {
            let index: usize = part.trim_matches(['[', ']']).parse().ok()?;
            items.get_mut(index)
        }
        other => other.get_mut(part),
    });
    let map = section.and_then(Value::as_object_mut);
    map.is_some_and(|map| map.remove(word).is_some())
}

/// Every unknown key in `tree` of a `T` after the first, each with the key that it resembles.
pub fn others<T: DeserializeOwned>(mut tree: Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    while let Err(wrong) = serde_path_to_error::deserialize::<_, T>(&tree) {
        let Some(key) = unknown_key(&wrong).filter(|key| remove(&mut tree, key)) else {
            break;
        };
        let message = wrong.inner().to_string();
        let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let meant = quoted
            .split_first()
            .and_then(|(word, keys)| meant_key(word, keys));
        all.push((key, question(meant)));
    }
    all.into_iter().skip(1).collect()
}
