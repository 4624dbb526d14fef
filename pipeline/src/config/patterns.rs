//! Patterns of file names in a configuration, such as `features-*.h5`: the files that match, in the order of their
//! numbers.

use crate::numbered::by_numbers;
use glob::Pattern;
use latent_align_stages::data::Files;
use latent_align_stages::{Error, Result};
use std::path::{Path, PathBuf};

/// Replaces each pattern in `files`, relative to `folder`, by the files that match. A file whose name has the characters
/// of a pattern is itself. `key` is for messages.
///
/// # Errors
/// [`Error::Input`] for a pattern that nothing matches, or that is none.
pub fn expand(key: &str, files: &mut Files, folder: &Path) -> Result<()> {
    let mut found = Vec::new();
    for file in files.all() {
        let is_there = folder.join(file).exists();
        match (file.to_str(), folder.to_str()) {
            (Some(name), Some(folder)) if name.contains(['*', '?', '[']) && !is_there => {
                let pattern = match file.is_absolute() {
                    true => name.to_owned(),
                    false => format!("{}/{name}", Pattern::escape(folder)),
                };
                found.extend(matching(key, name, &pattern)?);
            }
            _ => found.push(file.clone()),
        }
    }
    if let Some(expanded) = Files::of(found) {
        *files = expanded;
    }
    Ok(())
}

fn matching(key: &str, name: &str, pattern: &str) -> Result<Vec<PathBuf>> {
    let wrong = |e: &dyn std::fmt::Display| {
        Error::input(format!(
            "{key}: found the pattern {name}, expected one such as features-*.h5: {e}"
        ))
    };
    let mut files = Vec::new();
    for file in glob::glob(pattern).map_err(|e| wrong(&e))? {
        let file = file.map_err(|e| wrong(&e))?;
        if file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(Error::input(format!(
            "{key}: found no file that matches {name}, expected at least one; patterns in a configuration are relative \
             to its file, here {pattern}"
        )));
    }
    files.sort_by(|a, b| by_numbers(&a.to_string_lossy(), &b.to_string_lossy()));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &Files) -> Vec<String> {
        let name = |file: &PathBuf| file.file_name().unwrap().to_string_lossy().into_owned();
        files.all().iter().map(name).collect()
    }

    #[test]
    fn files_that_match_are_in_the_order_of_their_numbers() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["p-10.h5", "p-9.h5", "p-009.h5", "p-a.h5", "q.h5", "x[1].h5"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let expanded = |files: Vec<&str>| {
            let mut files = Files::of(files.into_iter().map(PathBuf::from).collect()).unwrap();
            expand("data.file", &mut files, dir.path()).map(|()| names(&files))
        };
        let found = expanded(vec!["p-*.h5", "q.h5"]).unwrap();
        assert_eq!(found, ["p-009.h5", "p-9.h5", "p-10.h5", "p-a.h5", "q.h5"]);
        assert_eq!(expanded(vec!["x[1].h5"]).unwrap(), ["x[1].h5"]);
        let why = expanded(vec!["r-*.h5"]).unwrap_err().to_string();
        assert!(
            why.contains("data.file: found no file that matches r-*.h5"),
            "{why}"
        );
        assert!(expanded(vec!["p-[.h5"]).is_err());
    }
}
