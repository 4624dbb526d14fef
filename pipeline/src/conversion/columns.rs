//! Which columns of a table are features, and which one the labels.

use latent_align_stages::{Error, Result};
use std::collections::BTreeSet;

/// Names of columns that are labels, if none is named.
const LABELS: [&str; 5] = ["label", "labels", "class", "target", "y"];

/// The column of the labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelColumn {
    /// One of [`LABELS`], if there is one.
    Usual,
    /// The one of this name.
    Named(String),
    /// The table has only this one.
    Sole,
}

/// Numbers of columns.
#[derive(Debug, PartialEq)]
pub struct Chosen {
    pub features: Vec<usize>,
    pub labels: Option<usize>,
    /// What to tell of columns that are left out.
    pub note: Option<String>,
}

impl Chosen {
    /// Chooses among the columns called `names` of the table at `place`: those of `only`, or all.
    ///
    /// # Errors
    /// [`Error::Input`] for a name that is not there, and for two columns of one name.
    pub fn of(
        names: &[String],
        only: &[String],
        labels: &LabelColumn,
        place: &str,
    ) -> Result<Self> {
        let mut distinct = BTreeSet::new();
        if let Some(name) = names.iter().find(|name| !distinct.insert(*name)) {
            return Err(Error::input(format!(
                "{place}: found two columns `{name}`, expected one; rename one of them"
            )));
        }
        let at = |name: &String| {
            names.iter().position(|n| n == name).ok_or_else(|| {
                Error::input(format!(
                    "{place}: found no column `{name}`, expected one of {}",
                    shown(names)
                ))
            })
        };
        let (indices, columns): (Vec<usize>, Vec<usize>) =
            (0..names.len()).partition(|&at| is_index(&names[at], at));
        let labels = match labels {
            LabelColumn::Sole if columns.len() == 1 => Some(columns[0]),
            LabelColumn::Sole => {
                return Err(Error::input(format!(
                    "{place}: found the columns {}, expected one column of labels; save that column alone",
                    shown(names)
                )));
            }
            LabelColumn::Named(name) => Some(at(name)?),
            LabelColumn::Usual => {
                let usual = |name: &String| LABELS.contains(&&*name.to_lowercase());
                let chosen = |name: &String| only.is_empty() || only.contains(name);
                let mut found =
                    (0..names.len()).filter(|&at| usual(&names[at]) && chosen(&names[at]));
                match (found.next(), found.next()) {
                    (first, None) => first,
                    _ => None,
                }
            }
        };
        let features: Vec<usize> = match only {
            [] => columns,
            some => some.iter().map(at).collect::<Result<_>>()?,
        };
        let features = features.into_iter().filter(|&at| Some(at) != labels);
        let features: Vec<usize> = features.collect();
        let mut indices = indices.into_iter().filter(|&at| Some(at) != labels);
        let note = match indices.next() {
            Some(at) if only.is_empty() => Some(match names[at].as_str() {
                "" => {
                    "the first column, which has no name, is left out as pandas' index".to_owned()
                }
                name => format!("the column `{name}` is left out as pandas' index"),
            }),
            _ => None,
        };
        Ok(Self {
            features,
            labels,
            note,
        })
    }
}

/// Whether pandas calls its index so: in CSV, in a CSV that it read and wrote again, and in Parquet.
fn is_index(name: &str, at: usize) -> bool {
    at == 0 && (name.is_empty() || name == "Unnamed: 0") || name.starts_with("__index_level_")
}

/// Names for a message, with line breaks escaped; long lists are shortened.
pub fn shown(names: &[String]) -> String {
    const MOST: usize = 12;
    let mut text = names
        .iter()
        .take(MOST)
        .map(|name| match name.contains(char::is_control) {
            true => name.escape_debug().to_string(),
            false => name.clone(),
        })
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > MOST {
        text.push_str(&format!(" and {} more", names.len() - MOST));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_a_usual_name_is_the_labels_unless_one_is_named() {
        let names = ["x", "Label", "y2"].map(str::to_owned);
        let of = |only: &[&str], labels| {
            let only: Vec<String> = only.iter().map(|&o| o.to_owned()).collect();
            Chosen::of(&names, &only, &labels, "a.csv").map(|c| (c.features, c.labels))
        };
        assert_eq!(of(&[], LabelColumn::Usual).unwrap(), (vec![0, 2], Some(1)));
        assert_eq!(
            of(&["y2", "x"], LabelColumn::Usual).unwrap(),
            (vec![2, 0], None)
        );
        let named = LabelColumn::Named("x".into());
        assert_eq!(of(&[], named).unwrap(), (vec![1, 2], Some(0)));
        let missing = of(&["z"], LabelColumn::Usual).unwrap_err().to_string();
        assert!(
            missing.contains("no column `z`") && missing.contains("x, Label, y2"),
            "{missing}"
        );
        assert!(of(&[], LabelColumn::Sole).is_err());
    }

    /// Otherwise the number of a row is a feature, or one of two columns is read twice.
    #[test]
    fn an_index_is_left_out_and_a_name_that_stands_twice_refused() {
        let of = |names: &[&str], only: &[&str], labels| {
            let [names, only] = [names, only]
                .map(|list| list.iter().map(|&n| n.to_owned()).collect::<Vec<String>>());
            Chosen::of(&names, &only, &labels, "a.csv")
        };
        for (names, kept, told) in [
            (["", "x", "y"], [1], "no name"),
            (
                ["x", "label", "__index_level_0__"],
                [0],
                "`__index_level_0__`",
            ),
        ] {
            let chosen = of(&names, &[], LabelColumn::Usual).unwrap();
            assert_eq!(chosen.features, kept);
            assert!(chosen.note.unwrap().contains(told));
        }
        let chosen = of(&["", "kind"], &[], LabelColumn::Sole).unwrap();
        assert_eq!(chosen.labels, Some(1));
        let all = of(
            &["Unnamed: 0", "x"],
            &["Unnamed: 0", "x"],
            LabelColumn::Usual,
        )
        .unwrap();
        assert_eq!((all.features, all.note), (vec![0, 1], None));
        let why = of(&["x", "y", "x"], &[], LabelColumn::Usual).unwrap_err();
        assert!(why.to_string().contains("two columns `x`"), "{why}");
    }

    #[test]
    fn a_line_break_in_a_name_is_escaped() {
        assert_eq!(shown(&["a\nb".into(), "c d".into()]), "a\\nb, c d");
    }
}
