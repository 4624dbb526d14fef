//! Semantic errors of a configuration, collected so that the user sees all of them at once.

use crate::error::{Error, Result};
use std::fmt::Display;
use std::path::Path;

/// A list of problems under a key of the configuration.
#[derive(Debug, Default)]
pub struct Problems {
    path: Vec<String>,
    found: Vec<String>,
}

impl Problems {
    /// No problems so far, at the root of the configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the section `key` with `check`.
    pub fn section(&mut self, key: &str, check: impl FnOnce(&mut Self)) {
        self.path.push(key.to_owned());
        check(self);
        self.path.pop();
    }

    /// Notes a problem with `key` unless `holds`: what was found, and what is expected.
    pub fn require(&mut self, holds: bool, key: &str, found: impl Display, expected: &str) {
        if !holds {
            let mut path = self.path.clone();
            path.push(key.to_owned());
            let path = path.join(".");
            self.found
                .push(format!("{path}: found {found}, expected {expected}"));
        }
    }

    /// All problems, one a line.
    pub fn messages(&self) -> &[String] {
        &self.found
    }

    /// As [`Self::into_result`], with the file `path` in front, whose header was checked.
    pub fn in_file(self, path: &Path) -> Result<()> {
        self.into_result()
            .map_err(|e| e.under(&path.display().to_string()))
    }

    /// An input error with every problem, if there is any.
    pub fn into_result(self) -> Result<()> {
        if self.found.is_empty() {
            Ok(())
        } else {
            Err(Error::input(self.found.join("\n")))
        }
    }
}
