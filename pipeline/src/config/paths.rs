//! Paths in a configuration are relative to the file that names them.

use super::{Experiment, patterns};
use crate::shipped;
use latent_align_stages::{Error, Result};
use std::path::{Component, Path, PathBuf};

/// Makes every path in `experiment` absolute, relative to the directory of `file`.
pub fn make_absolute(experiment: &mut Experiment, file: &Path) -> Result<()> {
    let file = std::path::absolute(file).map_err(|e| Error::file(file, e))?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    experiment.change_files(|key, files| patterns::expand(key, files, folder))?;
    let mut odd = None;
    experiment.change_paths(|path| {
        *path = normal(&folder.join(&*path));
        if path.to_str().is_none() {
            odd = Some(path.clone());
        }
    });
    // configurations and manifests are text
    if let Some(odd) = odd {
        return Err(Error::input(format!(
            "{}: found the path {}, which is not UTF-8, expected one that is; rename the file or its folder",
            file.display(),
            odd.display()
        )));
    }
    if let Some(flow) = &mut experiment.flow
        && !is_fingerprint_prefix(flow)
        && shipped::named(flow).is_none()
    {
        let path = normal(&folder.join(&*flow));
        *flow = path
            .to_str()
            .ok_or_else(|| Error::input(format!("flow: {} is not UTF-8", path.display())))?
            .to_owned();
    }
    Ok(())
}

/// Whether `text` must be the start of a fingerprint; write `./abcd` for a directory of that name.
pub fn is_fingerprint_prefix(text: &str) -> bool {
    (4..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// `path` resolved relative to the directory of `file`.
pub fn beside(file: &Path, path: &Path) -> PathBuf {
    normal(&file.parent().unwrap_or(Path::new("")).join(path))
}

/// Removes `.` and `..` without following links: a `..` is removed only together with a plain name
/// before it that is not a symbolic link.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if out.file_name().is_some() && !out.is_symlink() => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parent_folders_cancel() {
        assert_eq!(normal(Path::new("/a/./b/../c")), Path::new("/a/c"));
        assert_eq!(normal(Path::new("../a")), Path::new("../a"));
    }

    #[test]
    fn only_hexadecimal_words_are_fingerprints() {
        assert!(is_fingerprint_prefix("12ab"));
        for path in ["12a", "./12ab", "flow", "12AB", "../pretrain-flow/12ab"] {
            assert!(!is_fingerprint_prefix(path), "{path}");
        }
    }
}
