//! Labels in words: each distinct word is a class, numbered in alphabetical order.

use latent_align_hdf5::Attribute;
use latent_align_stages::{Error, Result};
use std::collections::BTreeSet;

/// Most classes; more distinct words are text, not labels.
const MOST: usize = 100_000;
/// The attribute of labels with the names of the classes, a JSON list.
const CLASSES: &str = "classes";
/// Longest attribute in bytes that HDF5 stores with a dataset.
const LONGEST: usize = 60_000;

/// The words of a column of labels: integers, or names of classes.
#[derive(Debug, Default)]
pub struct Words {
    distinct: BTreeSet<String>,
    are_integers: bool,
    count: usize,
}

impl Words {
    /// Adds the word of the next item of `place`.
    ///
    /// # Errors
    /// [`Error::Input`] for an empty word, and for too many distinct words that are no integers.
    pub fn add(&mut self, word: &str, place: &dyn Fn() -> String) -> Result<()> {
        if word.is_empty() {
            return Err(Error::input(format!(
                "{}: found an empty label, expected one for each item; fill it in or remove the row",
                place()
            )));
        }
        let is_integer = integer(word).is_some();
        self.are_integers = is_integer && (self.are_integers || self.count == 0);
        self.count += 1;
        if !self.distinct.contains(word) {
            if self.distinct.len() < MOST {
                self.distinct.insert(word.to_owned());
            } else if !self.are_integers {
                return Err(Error::input(format!(
                    "{}: found more than {MOST} distinct texts, expected labels; choose other columns with --only",
                    place()
                )));
            }
        }
        Ok(())
    }

    /// The classes in order; none if all words are integers.
    pub fn classes(&self) -> Vec<String> {
        match self.are_integers {
            true => Vec::new(),
            false => self.distinct.iter().cloned().collect(),
        }
    }
}

/// The label of `word`: its place among the `classes`, or the integer that it is.
pub fn label(word: &str, classes: &[String]) -> Option<i64> {
    match classes.is_empty() {
        true => integer(word),
        false => {
            let found = classes.binary_search_by(|class| class.as_str().cmp(word));
            found.ok().map(|at| at as i64)
        }
    }
}

/// The attribute with the names of `classes`; none without names, or if they are too long.
pub fn attribute(classes: &[String]) -> Option<(String, Attribute)> {
    let json = serde_json::Value::from(classes.to_vec()).to_string();
    let fits = !classes.is_empty() && json.len() <= LONGEST;
    fits.then(|| (CLASSES.to_owned(), Attribute::Text(json)))
}

/// The integer that `word` is, written as an integer or as `3.0`.
fn integer(word: &str) -> Option<i64> {
    let whole = word.strip_suffix(".0").unwrap_or(word);
    whole.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_classes_unless_all_are_integers() {
        for (words, classes, labels) in [
            (&["3", "0.0", "-1"][..], &[][..], [3, 0, -1]),
            (&["cat", "ant", "cat"], &["ant", "cat"], [1, 0, 1]),
            (&["3", "x", "10"], &["10", "3", "x"], [1, 2, 0]),
            (&["x", "3", "10"], &["10", "3", "x"], [2, 1, 0]),
        ] {
            let mut found = Words::default();
            for word in words {
                found.add(word, &|| "a.csv".into()).unwrap();
            }
            assert_eq!(found.classes(), classes);
            let found = words.iter().map(|w| label(w, &found.classes()).unwrap());
            assert_eq!(found.collect::<Vec<_>>(), labels);
        }
    }
}
