//! Errors of HDF5 files: libhdf5's reason, and how to fix it.

use std::path::{Path, PathBuf};

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is invalid. The message names it, what was found, what was expected and how to fix it.
    #[error("{0}")]
    Input(String),
    /// The file could not be read or written.
    #[error("{path}: {message}", path = path.display())]
    File {
        path: PathBuf,
        /// The system's message.
        message: String,
    },
}

impl Error {
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::Input(message.into())
    }

    pub(crate) fn file(path: impl AsRef<Path>, message: impl ToString) -> Self {
        Self::File {
            path: path.as_ref().to_owned(),
            message: message.to_string(),
        }
    }
}

/// The most specific line of an HDF5 error.
pub(crate) fn reason(error: &hdf5::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}

/// The error for `name` in the file `path` if libhdf5 fails to read it.
pub(crate) fn damaged(path: &Path, name: &str, error: &hdf5::Error) -> Error {
    let why = reason(error);
    Error::input(format!(
        "`{name}` in {} cannot be read: {why}. {}",
        path.display(),
        remedy(&why)
    ))
}

/// The remedy for libhdf5's reason `why`.
pub(crate) fn remedy(why: &str) -> String {
    if !why.contains("bad version number") {
        return "The file is probably damaged; create it again".to_owned();
    }
    let (major, minor, _) = hdf5::library_version();
    format!(
        "The file is damaged, or in a newer format than libhdf5 {major}.{minor} reads: write it again without \
         libver=\"latest\", or with `h5py.File(path, \"w\", libver=(\"earliest\", \"v110\"))`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_that_is_newer_is_not_called_damaged_alone() {
        let newer =
            remedy("H5Dopen2(): unable to open dataset: bad version number for layout message");
        assert!(
            newer.contains("newer format") && newer.contains("libver"),
            "{newer}"
        );
        let other = remedy("H5Dopen2(): unable to open dataset: bad heap");
        assert!(other.contains("damaged; create it again"), "{other}");
    }
}
