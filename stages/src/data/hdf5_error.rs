//! What libhdf5 says where it fails, and what to do about it.

use crate::error::Error;
use std::path::Path;

/// The most specific line of an HDF5 error.
pub(super) fn reason(error: &hdf5::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}

/// What is said of `name` in the file `path` where libhdf5 fails on it.
pub(super) fn damaged(path: &Path, name: &str, error: &hdf5::Error) -> Error {
    let why = reason(error);
    Error::input(format!(
        "`{name}` in {} cannot be read: {why}. {}",
        path.display(),
        remedy(&why)
    ))
}

/// What to do where libhdf5 says `why` it fails.
pub(super) fn remedy(why: &str) -> String {
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
