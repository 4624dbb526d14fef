//! Files to write: all of them, or none where one would replace another file.

use crate::store::write_lightly;
use latent_align_stages::{Error, Result};
use std::fmt;
use std::path::{Path, PathBuf};

/// Names relative to a folder, and contents.
#[derive(Debug, Default)]
pub struct Files(pub Vec<(PathBuf, Vec<u8>)>);

/// How many files were written, and how many were there already.
#[derive(Debug, PartialEq)]
pub struct Written {
    new: usize,
    kept: usize,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let plural = if self.new == 1 { "" } else { "s" };
        write!(f, "{} file{plural} written", self.new)?;
        match self.kept {
            0 => Ok(()),
            kept => write!(f, ", {kept} already there"),
        }
    }
}

impl Files {
    /// Adds one.
    pub fn add(&mut self, name: impl Into<PathBuf>, content: Vec<u8>) {
        self.0.push((name.into(), content));
    }

    /// Writes them into `dir`, each whole or not at all. A file that is there with the same content is left
    /// alone; one that differs is replaced only with `force`.
    ///
    /// # Errors
    /// [`Error::Input`] before anything is written, with all the files that differ; [`Error::File`].
    pub fn write(&self, dir: &Path, force: bool) -> Result<Written> {
        let mut new = Vec::new();
        let mut differ = Vec::new();
        for (name, content) in &self.0 {
            let file = dir.join(name);
            match std::fs::read(&file) {
                Ok(found) if found == *content => continue,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                _ => differ.push(file.display().to_string()),
            }
            new.push((file, content));
        }
        if !force && !differ.is_empty() {
            return Err(Error::input(format!(
                "found files with other content, expected none, so nothing was written; choose another \
                 --out, or replace them with --force\n  {}",
                differ.join("\n  ")
            )));
        }
        for (file, content) in &new {
            write_lightly(file, content)?;
        }
        Ok(Written {
            new: new.len(),
            kept: self.0.len() - new.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_where_one_file_differs() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::default();
        files.add("a/one", b"1".to_vec());
        files.add("two", b"2".to_vec());
        std::fs::write(dir.path().join("two"), "other").unwrap();
        let refused = files.write(dir.path(), false).unwrap_err().to_string();
        assert!(
            refused.contains("two") && refused.contains("--force"),
            "{refused}"
        );
        assert!(!dir.path().join("a").exists());

        let written = files.write(dir.path(), true).unwrap();
        assert_eq!(written, Written { new: 2, kept: 0 });
        assert_eq!(std::fs::read(dir.path().join("two")).unwrap(), b"2");
        let again = files.write(dir.path(), false).unwrap();
        assert_eq!(again.to_string(), "0 files written, 2 already there");
    }
}
