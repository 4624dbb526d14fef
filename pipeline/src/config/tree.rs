//! A configuration as a tree of JSON values, addressed by dotted keys.

use serde_json::Value;

/// Every leaf with its dotted key, in order. An empty map or list is a leaf.
pub fn flatten(value: &Value) -> Vec<(String, &Value)> {
    let mut leaves = Vec::new();
    walk(value, String::new(), &mut leaves);
    leaves
}

fn walk<'a>(value: &'a Value, key: String, leaves: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, child) in map {
                let key = if key.is_empty() {
                    name.clone()
                } else {
                    format!("{key}.{name}")
                };
                walk(child, key, leaves);
            }
        }
        _ => leaves.push((key, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_leaves() {
        let tree = json!({"a": {"b": [1, 2], "c": {}}, "d": null});
        let keys: Vec<String> = flatten(&tree).into_iter().map(|l| l.0).collect();
        assert_eq!(keys, ["a.b", "a.c", "d"]);
    }
}
