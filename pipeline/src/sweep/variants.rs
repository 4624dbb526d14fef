//! All variants of a sweep: each of the list, combined with each point of the grid and each random draw.

use super::file::{SweepFile, Variant};
use super::random::draw;
use crate::config::Assignment;
use serde_json::{Map, Number, Value};
use serde_yaml::Location;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A variant with all its assignments.
#[derive(Debug, Clone)]
pub struct Point {
    /// Its name: that of the list's variant, and each value with its key.
    pub name: String,
    /// Its experiment, relative to the sweep's file.
    pub base: PathBuf,
    /// Its assignments.
    pub set: Vec<Assignment>,
    /// The assignments as a map.
    pub settings: Map<String, Value>,
    /// The keys set by an axis rather than by the list.
    pub axes: Vec<String>,
}

/// The variants of `written`, the sweep in `file`, in order.
pub fn all(written: &SweepFile, file: &Path) -> Vec<Point> {
    let place = |at: Location| format!("{}:{}:{}", file.display(), at.line(), at.column());
    let names = ShortNames::of(written);
    let nothing = [Variant::default()];
    let list = match written.list.as_slice() {
        [] => &nothing,
        list => list,
    };
    let mut points: Vec<Point> = Vec::new();
    for variant in list {
        let mut point = Point {
            name: variant.name.clone(),
            base: variant.base.clone().unwrap_or(written.base.clone()),
            set: Vec::new(),
            settings: Map::new(),
            axes: Vec::new(),
        };
        for (key, value) in &written.set.0 {
            let (value, source) = (value.value.clone(), place(value.referenced));
            point.set.push(Assignment::new(key, value, source));
        }
        for (key, value) in &variant.set.0 {
            point.add(key, value.value.clone(), place(value.referenced));
        }
        points.push(point);
    }
    for (key, values) in &written.grid.0 {
        points = (points.iter())
            .flat_map(|point| {
                values.iter().map(|value| {
                    let mut point = point.clone();
                    point.name_part(&format!("{}-{}", names.of_key(key), word(&value.value)));
                    point.axes.push(key.clone());
                    point.add(key, value.value.clone(), place(value.referenced));
                    point
                })
            })
            .collect();
    }
    if let Some(random) = &written.random {
        points = (points.iter())
            .flat_map(|point| {
                (0..random.count).map(|number| {
                    let mut point = point.clone();
                    point.name_part(&format!("draw{number}"));
                    for (key, distribution) in &random.axes.0 {
                        let value = draw(distribution, random.seed, key, number);
                        point.axes.push(key.clone());
                        let source = format!("{}: random draw {number}", file.display());
                        point.add(key, value, source);
                    }
                    point
                })
            })
            .collect();
    }
    tell_apart(&mut points);
    points
}

impl Point {
    fn add(&mut self, key: &str, value: Value, source: String) {
        self.settings.insert(key.to_owned(), value.clone());
        self.set.push(Assignment::new(key, value, source));
    }

    fn name_part(&mut self, part: &str) {
        if !self.name.is_empty() {
            self.name.push('.');
        }
        self.name.push_str(part);
    }
}

/// The name of an axis in variant names: as few of its key's last parts as are unique.
struct ShortNames(Vec<(String, String)>);

impl ShortNames {
    fn of(written: &SweepFile) -> Self {
        let keys: Vec<&String> = written.grid.0.iter().map(|axis| &axis.0).collect();
        let short = |key: &String| {
            let ends = (1..=key.split('.').count()).map(|parts| end(key, parts));
            let mut fit = ends.filter(|name| {
                let same = keys.iter().filter(|k| is_end(k, name)).count();
                same <= 1 && name != "kind"
            });
            fit.next().unwrap_or_else(|| key.replace('.', "-"))
        };
        Self(keys.iter().map(|k| ((*k).clone(), short(k))).collect())
    }

    fn of_key<'a>(&'a self, key: &'a str) -> &'a str {
        let found = self.0.iter().find(|(k, _)| k == key);
        found.map_or(key, |(_, name)| name)
    }
}

/// The last `parts` parts of a key, without a final `kind`.
fn end(key: &str, parts: usize) -> String {
    let key = key.strip_suffix(".kind").unwrap_or(key);
    let all: Vec<&str> = key.split('.').collect();
    all[all.len().saturating_sub(parts)..].join("-")
}

fn is_end(key: &str, name: &str) -> bool {
    (1..=key.split('.').count()).any(|parts| end(key, parts) == name)
}

/// A value as part of a name.
fn word(value: &Value) -> String {
    let text = match value {
        Value::Null => "none".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let words: Vec<String> = items.iter().map(word).collect();
            words.join("-")
        }
        Value::Object(map) => {
            let words: Vec<String> = map.values().map(word).collect();
            words.join("-")
        }
        Value::Number(number) => short(number),
        Value::Bool(value) => value.to_string(),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    text.chars()
        .map(|c| if plain(c) { c } else { '-' })
        .collect()
}

/// A number in short form: `1e-5`, not `0.00001`.
fn short(number: &Number) -> String {
    let plain = number.to_string();
    let scientific = number.as_f64().map(|v| format!("{v:e}"));
    match scientific {
        Some(scientific) if scientific.len() < plain.len() => scientific,
        _ => plain,
    }
}

/// Makes the names of variants unique: the first keeps a shared name, the others get a hash of their
/// assignments.
fn tell_apart(points: &mut [Point]) {
    let mut taken = BTreeSet::new();
    for point in points {
        if !point.axes.is_empty() && !taken.insert(point.name.clone()) {
            let settings = serde_json::to_string(&point.settings).unwrap_or_default();
            let hash = blake3::hash(settings.as_bytes()).to_hex();
            point.name = format!("{}-{}", point.name, &hash[..6]);
            taken.insert(point.name.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(text: &str) -> Vec<Point> {
        let written = serde_yaml::from_str(text).unwrap();
        all(&written, Path::new("s.yaml"))
    }

    fn names(text: &str) -> Vec<String> {
        points(text).into_iter().map(|p| p.name).collect()
    }

    #[test]
    fn every_combination_is_a_variant() {
        let all = points(
            "name: s\nbase: a.yaml\nset: {c.d: 1}\nlist: [{name: x, set: {a.b: 1}}, {name: y, base: c.yaml}]\n\
             grid: {r.weight: [0, 1.0e-5], p.kind: [gaussian]}\nrandom: {count: 2, axes: {l.rate: {choice: [7]}}}\n",
        );
        assert_eq!(all.len(), 8);
        assert_eq!(all[0].name, "x.weight-0.p-gaussian.draw0");
        assert_eq!(all[7].name, "y.weight-1e-5.p-gaussian.draw1");
        assert_eq!(all[7].base, Path::new("c.yaml"));
        assert_eq!(all[7].axes, ["r.weight", "p.kind", "l.rate"]);
        let settings = serde_json::to_string(&all[1].settings).unwrap();
        assert_eq!(
            settings,
            r#"{"a.b":1,"r.weight":0,"p.kind":"gaussian","l.rate":7}"#
        );
        assert!(
            all[0].set[2].source().starts_with("s.yaml:5:19"),
            "{:?}",
            all[0].set[2]
        );
    }

    #[test]
    fn keys_that_end_alike_are_told_apart() {
        let grid = "name: s\nbase: a.yaml\ngrid: {flow.steps: [1], autoencoder.steps: [2], x.y: [a b, a-b]}\n";
        let names = names(grid);
        assert_eq!(names[0], "flow-steps-1.autoencoder-steps-2.y-a-b");
        assert!(names[1].starts_with("flow-steps-1.autoencoder-steps-2.y-a-b-"));
    }

    #[test]
    fn another_value_leaves_the_names_of_the_others() {
        let few = names("name: s\nbase: a.yaml\ngrid: {w: [1, 2]}\n");
        let more = names("name: s\nbase: a.yaml\ngrid: {w: [1, 2, 3]}\n");
        assert_eq!(few, more[..2]);
    }
}
