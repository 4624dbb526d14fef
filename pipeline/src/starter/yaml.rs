//! Quoting of paths and names in the file.

use crate::config::is_name;
use latent_align_stages::data::Files;
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

/// The name of an experiment for `files`: of several, what their names start with.
pub fn name_of_all(files: &Files) -> String {
    if !files.are_several() {
        return name_of(files.first());
    }
    let stems = files.all().iter().map(|file| file.file_stem());
    let mut stems = stems.map(|stem| stem.unwrap_or_default().to_string_lossy());
    let first = stems.next().unwrap_or_default().into_owned();
    let common = stems.fold(first.as_str(), |common, stem| {
        let same = common.char_indices().zip(stem.chars());
        let end = same.take_while(|((_, a), b)| a == b).last();
        end.map_or("", |((at, c), _)| &common[..at + c.len_utf8()])
    });
    let is_number = |c: char| c.is_ascii_digit() || "-_.".contains(c);
    match common.trim_end_matches(is_number) {
        "" => "experiment".into(),
        common => name_of(Path::new(&format!("{common}.h5"))),
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

/// `files` as a configuration at `out` refers to them: a file, or a list.
///
/// # Errors
/// As [`path`].
pub fn files(files: &Files, out: &Path) -> Result<String> {
    let paths = files.all().iter().map(|file| path(file, out));
    let paths: Vec<String> = paths.collect::<Result<_>>()?;
    Ok(match paths.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    })
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
    fn several_files_have_the_name_that_theirs_start_with() {
        for (files, name) in [
            (&["a/words-00009.h5", "words-00010.h5"][..], "words"),
            (&["x1.h5", "x2.h5"], "x"),
            (&["1.h5", "2.h5"], "experiment"),
            (&["été-a.h5", "été-b.h5"], "t-"),
            (&["words-00009.h5"], "words-00009"),
        ] {
            let files = Files::of(files.iter().map(Into::into).collect()).unwrap();
            assert_eq!(name_of_all(&files), name);
        }
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
