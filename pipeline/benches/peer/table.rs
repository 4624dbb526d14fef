//! Tables in Markdown, aligned for reading as plain text.

use anyhow::{Context as _, Result};
use std::path::Path;

/// A header and rows with as many cells.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(header: &[&str]) -> Self {
        Self {
            rows: vec![header.iter().map(|cell| (*cell).to_owned()).collect()],
        }
    }

    /// # Panics
    /// If there are not as many cells as in the header.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        assert_eq!(N, self.rows[0].len());
        self.rows.push(cells.to_vec());
    }

    pub fn render(&self) -> String {
        let columns = 0..self.rows[0].len();
        let wide = |column: usize| self.rows.iter().map(|r| r[column].chars().count()).max();
        let widths: Vec<usize> = columns.map(|column| wide(column).unwrap_or(0)).collect();
        let line = |cells: &[String]| {
            let padded = cells.iter().zip(&widths);
            let padded: Vec<String> = padded
                .map(|(cell, &width)| format!("{cell:width$}"))
                .collect();
            format!("| {} |\n", padded.join(" | "))
        };
        let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
        let rows: String = self.rows[1..].iter().map(|row| line(row)).collect();
        line(&self.rows[0]) + &line(&rule) + &rows
    }
}

/// Prints `text`, and writes it to `out` if given.
pub fn publish(text: &str, out: Option<&Path>) -> Result<()> {
    print!("{text}");
    match out {
        Some(path) => std::fs::write(path, text).with_context(|| path.display().to_string()),
        None => Ok(()),
    }
}
