//! Quoting of paths and names in the file.

use crate::config::is_name;
use latent_align_stages::{Error, Result};
use std::fmt::Display;
use std::path::Path;

/// Maximum length of a name, so that names of sweeps and trials can be derived from it.
const LONGEST_NAME: usize = 40;

/// The name of an experiment for `file`: its stem, restricted to valid characters.
pub fn name_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let plain: String = stem
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .collect();
    let name: String = plain
        .trim_start_matches(['.', '-'])
        .chars()
        .take(LONGEST_NAME)
        .collect();
    if is_name(&name) {
        name
    } else {
        "experiment".into()
    }
}

/// `file` as a configuration at `out` refers to it: relative if it is in or below the same
/// directory.
///
/// # Errors
/// [`Error::Input`] if it is not UTF-8; [`Error::File`] if the current directory does not exist.
pub fn path(file: &Path, out: &Path) -> Result<String> {
    let absolute = |path: &Path| std::path::absolute(path).map_err(|e| Error::file(path, e));
    let (file, out) = (absolute(file)?, absolute(out)?);
    let folder = out.parent().unwrap_or(Path::new("/"));
    let shown = file.strip_prefix(folder).unwrap_or(&file);
    let text = shown.to_str().ok_or_else(|| {
        Error::input(format!(
            "{}: found a path that is not UTF-8; rename it",
            file.display()
        ))
    })?;
    Ok(scalar(text))
}

/// `text` as a YAML string, quoted if necessary.
pub fn scalar(text: &str) -> String {
    const OTHER_THAN_TEXT: [&str; 7] = ["true", "false", "null", "yes", "no", "on", "off"];
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_./-".contains(&b);
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let word = OTHER_THAN_TEXT.contains(&text.to_lowercase().as_str());
    if starts && !word && text.bytes().all(plain) {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

/// `text` on one line, for a comment.
pub fn one_line(text: impl Display) -> String {
    text.to_string().replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_file_has_a_name() {
        for (file, name) in [
            ("a/dino features.h5", "dino-features"),
            ("..h5", "experiment"),
            ("/", "experiment"),
            ("été.h5", "t-"),
        ] {
            let found = name_of(Path::new(file));
            assert!(is_name(&found), "{found}");
            assert_eq!(found, name, "{file}");
        }
        assert_eq!(name_of(Path::new(&"a".repeat(100))).len(), LONGEST_NAME);
    }

    #[test]
    fn text_reads_back_as_the_same_text() {
        for text in [
            "/features",
            "a b",
            "no",
            "12",
            "1e3",
            "a: b",
            "a #b",
            "\"",
            "é\n",
            "~",
            "-a",
            "",
            "{x}",
        ] {
            let read: String = serde_yaml::from_str(&format!("{}\n", scalar(text))).unwrap();
            assert_eq!(read, text);
        }
    }

    #[test]
    fn a_path_is_relative_below_the_configuration_and_absolute_elsewhere() {
        let name = |file: &str| path(Path::new(file), Path::new("/a/b.yaml")).unwrap();
        assert_eq!(name("/a/c/d.h5"), "c/d.h5");
        assert_eq!(name("/c/d.h5"), "/c/d.h5");
    }
}
