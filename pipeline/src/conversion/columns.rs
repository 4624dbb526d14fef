//! Which columns of a table are features, and which one the labels.

use latent_align_stages::{Error, Result};

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
}

impl Chosen {
    /// Chooses among the columns called `names` of the table at `place`: those of `only`, or all.
    ///
    /// # Errors
    /// [`Error::Input`] for a name that is not there or twice.
    pub fn of(
        names: &[String],
        only: &[String],
        labels: &LabelColumn,
        place: &str,
    ) -> Result<Self> {
        let at = |name: &String| {
            let mut found = (0..names.len()).filter(|&at| names[at] == *name);
            match (found.next(), found.next()) {
                (Some(at), None) => Ok(at),
                (Some(_), Some(_)) => Err(Error::input(format!(
                    "{place}: found two columns `{name}`, expected one; rename one of them"
                ))),
                _ => Err(Error::input(format!(
                    "{place}: found no column `{name}`, expected one of {}",
                    shown(names)
                ))),
            }
        };
        let labels = match labels {
            LabelColumn::Sole if names.len() == 1 => Some(0),
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
            [] => (0..names.len()).collect(),
            some => some.iter().map(at).collect::<Result<_>>()?,
        };
        let features = features.into_iter().filter(|&at| Some(at) != labels);
        Ok(Self {
            features: features.collect(),
            labels,
        })
    }
}

/// Names for a message; long lists are shortened.
pub fn shown(names: &[String]) -> String {
    const MOST: usize = 12;
    let mut text = names
        .iter()
        .take(MOST)
        .cloned()
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
}
