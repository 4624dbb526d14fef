//! A text file of sequences, one per line.

use crate::error::{Error, Result};
use std::path::Path;

/// The texts in the lines of the file `path`, without the score that may follow a tab; either all lines or none have
/// one.
///
/// # Errors
/// File errors; input errors with line and column for invalid UTF-8, or a score that is not a
/// number.
pub(super) fn read(path: &Path) -> Result<Vec<String>> {
    let bytes = std::fs::read(path).map_err(|e| Error::file(path, e))?;
    let file = path.display();
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
        Error::input(format!(
            "{file}:{line}: found bytes that are not UTF-8, expected a text file with one \
             sequence a line; an HDF5 file takes `tokeniser: {{kind: ids}}`"
        ))
    })?;
    let (mut texts, mut are_scored) = (Vec::new(), None);
    for (line, number) in text.lines().zip(1..) {
        let (text, score) = match line.split_once('\t') {
            None => (line, None),
            Some((text, score)) => (text, Some(score)),
        };
        if let Some(score) = score {
            check_score(score, text, number, path)?;
        }
        if *are_scored.get_or_insert(score.is_some()) != score.is_some() {
            return Err(Error::input(format!(
                "{file}:{number}: found a line {} a score after a tab, unlike the first, expected one in every line or in none",
                if score.is_some() { "with" } else { "without" }
            )));
        }
        texts.push(text.to_owned());
    }
    match texts.is_empty() {
        true => Err(Error::input(format!(
            "{file}: found an empty file, expected one sequence a line"
        ))),
        false => Ok(texts),
    }
}

fn check_score(score: &str, text: &str, line: usize, path: &Path) -> Result<()> {
    match score.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(()),
        _ => Err(Error::input(format!(
            "{}:{line}:{}: found the score `{score}`, expected a finite number after the tab",
            path.display(),
            text.chars().count() + 2
        ))),
    }
}
