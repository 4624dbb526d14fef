//! Comparison of two configurations.

use super::tree::flatten;
use serde_json::Value;
use std::collections::BTreeMap;

/// A leaf that differs between two configurations.
#[derive(Debug, PartialEq)]
pub struct Change<'a> {
    /// Its dotted key.
    pub key: String,
    /// Value in the first.
    pub one: Option<&'a Value>,
    /// Value in the second.
    pub other: Option<&'a Value>,
}

/// The leaves in which `one` and `other` differ: those of `one` in order, then those that only `other` has.
pub fn diff<'a>(one: &'a Value, other: &'a Value) -> Vec<Change<'a>> {
    let (ours, theirs) = (flatten(one), flatten(other));
    let ours_by_key: BTreeMap<&str, &Value> = ours.iter().map(|l| (l.0.as_str(), l.1)).collect();
    let theirs_by_key: BTreeMap<&str, &Value> =
        theirs.iter().map(|l| (l.0.as_str(), l.1)).collect();
    let added = theirs
        .iter()
        .filter(|leaf| !ours_by_key.contains_key(leaf.0.as_str()));
    let changes = ours.iter().chain(added).map(|(key, _)| Change {
        key: key.clone(),
        one: ours_by_key.get(key.as_str()).copied(),
        other: theirs_by_key.get(key.as_str()).copied(),
    });
    changes
        .filter(|change| change.one != change.other)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn leaves_of_either_side_are_told_and_equal_ones_are_not() {
        let one = json!({"z": 1, "a": {"b": 1, "c": "x"}, "same": [1, 2]});
        let other = json!({"a": {"b": 2}, "d": null, "same": [1, 2], "z": 1});
        let changes = diff(&one, &other);
        let found = changes.iter().map(|c| (c.key.as_str(), c.one, c.other));
        let expected = [
            ("a.b", Some(&json!(1)), Some(&json!(2))),
            ("a.c", Some(&json!("x")), None),
            ("d", None, Some(&json!(null))),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
}
