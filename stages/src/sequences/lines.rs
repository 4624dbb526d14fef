//! A text file of sequences, one per line.

use crate::error::{Error, Result};
use std::path::Path;

/// A line: a text, and its score if there is one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub text: String,
    pub score: Option<f64>,
}

/// The lines of the file `path`. The text after a tab is the score of a line; either all lines or
/// none have one.
///
/// # Errors
/// File errors; input errors with line and column for invalid UTF-8, or a score that is not a
/// number.
pub(super) fn read(path: &Path) -> Result<Vec<Line>> {
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
    let mut lines: Vec<Line> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let (text, score) = match line.split_once('\t') {
            None => (line, None),
            Some((text, score)) => (text, Some(number_of(score, text, number + 1, path)?)),
        };
        if let Some(first) = lines.first()
            && first.score.is_some() != score.is_some()
        {
            return Err(Error::input(format!(
                "{file}:{}: found a line {} a score after a tab, unlike the first, expected one in every line or in none",
                number + 1,
                if score.is_some() { "with" } else { "without" }
            )));
        }
        let text = text.to_owned();
        lines.push(Line { text, score });
    }
    match lines.is_empty() {
        true => Err(Error::input(format!(
            "{file}: found an empty file, expected one sequence a line"
        ))),
        false => Ok(lines),
    }
}

fn number_of(score: &str, text: &str, line: usize, path: &Path) -> Result<f64> {
    let read = score
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|score| score.is_finite());
    read.ok_or_else(|| {
        let column = text.chars().count() + 2;
        Error::input(format!(
            "{}:{line}:{column}: found the score `{score}`, expected a finite number after the tab",
            path.display()
        ))
    })
}
