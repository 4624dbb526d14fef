//! A set of files to write: either all, or none if one would overwrite another file.

use crate::destination::{Destination, Found};
use latent_align_stages::{Error, Result};
use std::fmt;
use std::path::{Path, PathBuf};

/// Names relative to a directory, with contents.
#[derive(Debug, Default)]
pub struct Files(pub Vec<(PathBuf, Vec<u8>)>);

/// Numbers of files written, and of files already present.
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
    /// Adds a file.
    pub fn add(&mut self, name: impl Into<PathBuf>, content: Vec<u8>) {
        self.0.push((name.into(), content));
    }

    /// Writes the files into `dir`, each atomically. An existing file with the same content is left alone;
    /// one that differs is replaced only with `force`; anything but regular files is never replaced.
    ///
    /// # Errors
    /// [`Error::Input`] before anything is written, listing everything that may not be replaced; as
    /// [`Destination::write`].
    pub fn write(&self, dir: &Path, force: bool) -> Result<Written> {
        let mut new = Vec::new();
        let mut refused = Vec::new();
        for (name, content) in &self.0 {
            let file = dir.join(name);
            match Found::at(&file)? {
                Found::Nothing => {}
                Found::File(found) if holds(&found, content) => continue,
                Found::File(_) if force => {}
                found => refused.push(format!("{}: {}", file.display(), found.word())),
            }
            new.push((file, content));
        }
        if !refused.is_empty() {
            return Err(Error::input(format!(
                "found existing files with other contents, so nothing was written; choose another \
                 --out, or replace files with --force\n  {}",
                refused.join("\n  ")
            )));
        }
        for (file, content) in &new {
            let folder = file.parent().unwrap_or(dir);
            std::fs::create_dir_all(folder).map_err(|e| Error::file(folder, e))?;
            Destination::open(file, force)?.write(content)?;
        }
        Ok(Written {
            new: new.len(),
            kept: self.0.len() - new.len(),
        })
    }
}

fn holds(file: &Path, content: &[u8]) -> bool {
    let size = content.len() as u64;
    std::fs::metadata(file).is_ok_and(|found| found.len() == size)
        && std::fs::read(file).is_ok_and(|found| found == content)
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
