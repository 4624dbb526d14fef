//! Safe parsing of YAML text to typed values.
//!
//! The size is limited before parsing, aliases and nesting have a budget, `.nan` and `.inf` are
//! refused, and the text is parsed directly into the typed struct so that errors have positions.

use super::suggest::{did_you_mean, list, meant_key};
use super::unknown::others;
use super::words::{in_words, kind_of_node, kind_of_number};
use latent_align_stages::{Error, Result};
use rustix::fs::OFlags;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_yaml::{Options, SnippetMode, UserMessageFormatter};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Chain, Cursor, Read};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// Maximum size of a configuration.
const LARGEST: u64 = 64 * 1024;

/// How long a named pipe may be without a writer.
const WRITER: Duration = Duration::from_secs(5);

/// Refuses a named pipe in place of a file that another file names: opening it could wait forever.
///
/// # Errors
/// [`Error::Input`].
pub fn refuse_pipe(file: &Path) -> Result<()> {
    match std::fs::metadata(file).is_ok_and(|m| m.file_type().is_fifo()) {
        true => Err(Error::input(format!(
            "{}: is a named pipe; expected a YAML file",
            file.display()
        ))),
        false => Ok(()),
    }
}

/// The text of `file`.
///
/// # Errors
/// [`Error::Input`] when the file is missing, unreadable, a named pipe without a writer, not UTF-8, or larger than
/// 64 KiB.
pub fn read(file: &Path) -> Result<String> {
    let wrong = |why: String| Error::input(format!("{}: {why}", file.display()));
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => wrong(format!(
            "no such configuration file{}; expected a YAML file, such as configs/digits.yaml",
            near(file)
        )),
        _ => wrong(e.to_string()),
    };
    let kind = std::fs::metadata(file).map_err(failed)?.file_type();
    if kind.is_dir() {
        return Err(wrong("is a folder; expected a YAML file".into()));
    }
    let handle = match kind.is_fifo() {
        true => open_pipe(file).map_err(failed)?.ok_or_else(|| {
            wrong("is a named pipe that no program writes to; expected a YAML file".into())
        })?,
        false => Cursor::new(Vec::new()).chain(File::open(file).map_err(failed)?),
    };
    let mut bytes = Vec::new();
    handle
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(wrong(format!(
            "larger than {} KiB, which no configuration is; is this a data file?",
            LARGEST / 1024
        )));
    }
    String::from_utf8(bytes).map_err(|e| {
        wrong(format!(
            "not UTF-8 text (byte {}); expected YAML",
            e.utf8_error().valid_up_to()
        ))
    })
}

/// A named pipe, from its first bytes on; none if no program opens it to write within [`WRITER`].
fn open_pipe(file: &Path) -> std::io::Result<Option<Chain<Cursor<Vec<u8>>, File>>> {
    let mut pipe = File::options()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(file)?;
    let mut first = vec![0; 4096];
    let opened = Instant::now();
    let length = loop {
        match pipe.read(&mut first) {
            // the end: nobody writes
            Ok(0) if opened.elapsed() > WRITER => return Ok(None),
            Ok(0) => std::thread::sleep(Duration::from_millis(20)),
            Ok(length) => break length,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break 0,
            Err(error) => return Err(error),
        }
    };
    first.truncate(length);
    rustix::fs::fcntl_setfl(&pipe, OFlags::empty())?; // from here on reads wait for the writer
    Ok(Some(Cursor::new(first).chain(pipe)))
}

fn near(file: &Path) -> String {
    let folder = match file.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let names = folder.read_dir().into_iter().flatten().flatten();
    let names = names.filter_map(|e| e.file_name().into_string().ok());
    let names = names.filter(|n| n.ends_with(".yaml") || n.ends_with(".yml"));
    file.file_name()
        .and_then(|name| did_you_mean(&name.to_string_lossy(), names))
        .map(|n| format!("; did you mean {}?", file.with_file_name(n).display()))
        .unwrap_or_default()
}

fn options() -> Options {
    serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_events: 50_000,
            max_nodes: 20_000,
            max_aliases: 200,
            max_anchors: 200,
            max_depth: 32,
            flow_nesting_limit: 32,
            max_documents: 1,
        },
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: 10_000,
            max_replay_stack_depth: 8,
        },
        strict_booleans: true,
    }
}

/// Parses the YAML `text` as a `T`; messages call it `source`.
///
/// # Errors
/// [`Error::Input`] with the position, the line itself, what was expected, and the nearest key.
pub fn parse<T: DeserializeOwned>(text: &str, source: &str) -> Result<T> {
    let mut text = Cow::Borrowed(text);
    let parsed = loop {
        let wrong = match serde_yaml::from_str_with_options::<T>(&text, options()) {
            Ok(parsed) => break parsed,
            Err(wrong) => wrong,
        };
        match with_whole_number(&wrong, &text) {
            Some(written_out) => text = Cow::Owned(written_out),
            None => return Err(with_others::<T>(&wrong, &text, source)),
        }
    };
    // A typed number accepts `.nan`; an untyped one does not.
    serde_yaml::from_str_with_options::<Value>(&text, options())
        .map_err(|e| explain(&e, &text, source))?;
    Ok(parsed)
}

/// `text` with the digits of a whole number such as 1e3 or 2.0 where the parser found no whole number; none if the
/// error is another one.
fn with_whole_number(error: &serde_yaml::Error, text: &str) -> Option<String> {
    if !matches!(
        error.without_snippet(),
        serde_yaml::Error::InvalidScalar { .. }
    ) {
        return None;
    }
    let place = error.location()?;
    let (line, column) = (place.line() as usize, place.column() as usize);
    let start: usize = text
        .split_inclusive('\n')
        .take(line.checked_sub(1)?)
        .map(str::len)
        .sum();
    let rest = &text[start..];
    let start = start + rest.char_indices().nth(column.checked_sub(1)?)?.0;
    let rest = &text[start..];
    let is_part = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    let number: f64 = rest[..length].parse().ok()?;
    let whole = whole_number(number)?.to_string();
    // Otherwise the same text would be read for ever.
    (whole != rest[..length]).then(|| format!("{}{whole}{}", &text[..start], &rest[length..]))
}

/// `number` as an integer, if it is one and every integer of its size is a floating-point number.
pub fn whole_number(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

/// One YAML value, such as the right side of `--set key=value`.
pub fn parse_value(text: &str, source: &str) -> Result<Value> {
    if text.len() as u64 > LARGEST {
        return Err(Error::input(format!("{source}: larger than 64 KiB")));
    }
    serde_yaml::from_str_with_options(text, options()).map_err(|e| explain(&e, text, source))
}

/// The explanation of `error`; if it is an unknown key, with every other one.
fn with_others<T: DeserializeOwned>(error: &serde_yaml::Error, text: &str, source: &str) -> Error {
    let first = explain(error, text, source);
    let is_key = matches!(
        error.without_snippet(),
        serde_yaml::Error::SerdeUnknownField { .. }
    );
    let tree = is_key.then(|| serde_yaml::from_str_with_options::<Value>(text, options()));
    let others = tree
        .and_then(Result::ok)
        .map(others::<T>)
        .unwrap_or_default();
    let others = others.into_iter().map(|(key, meant)| {
        let place = place_of(text, &key)
            .map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
        format!("\n{source}{place}: unknown key `{key}`{meant}")
    });
    match others.collect::<String>() {
        none if none.is_empty() => first,
        others => Error::input(format!("{first}{others}")),
    }
}

/// Translates a parser message for the author of the file.
fn explain(error: &serde_yaml::Error, text: &str, source: &str) -> Error {
    let place = error
        .location()
        .map(|l| (l.line() as usize, l.column() as usize));
    let (message, hint, place) = match error.without_snippet() {
        serde_yaml::Error::SerdeUnknownField {
            field, expected, ..
        } => (
            format!("unknown key `{field}`, expected {}", list(expected)),
            meant_key(field, expected),
            refine(text, place, field, |_, after| after.starts_with(':')),
        ),
        serde_yaml::Error::SerdeUnknownVariant {
            variant, expected, ..
        } => (
            format!("unknown value `{variant}`, expected {}", list(expected)),
            did_you_mean(variant, expected),
            refine(text, place, variant, |before, after| {
                before.ends_with(':') && !after.starts_with(':')
            }),
        ),
        serde_yaml::Error::SerdeMissingField { field, .. } => {
            (format!("the key `{field}` is missing"), None, place)
        }
        serde_yaml::Error::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("the key `{key}` is given twice"), None, place)
        }
        serde_yaml::Error::NonFiniteFloat { value, .. } => (
            format!("`{value}` is not a number a setting can have, expected a finite number"),
            None,
            place,
        ),
        serde_yaml::Error::InvalidScalar { ty, .. } => (
            format!("{}expected {}", found_at(text, place), kind_of_number(ty)),
            None,
            place,
        ),
        serde_yaml::Error::Unexpected { expected, .. } => (
            format!(
                "{}expected {}",
                found_at(text, place),
                kind_of_node(expected)
            ),
            None,
            place,
        ),
        serde_yaml::Error::MultipleDocuments { .. } => (SEVERAL_DOCUMENTS.into(), None, place),
        serde_yaml::Error::Budget { breach, .. }
            if format!("{breach:?}").starts_with("Documents") =>
        {
            (SEVERAL_DOCUMENTS.into(), None, place)
        }
        other => (in_words(&plain(other)), None, place),
    };
    let mut out = match place {
        Some((line, column)) => format!("{source}:{line}:{column}: {message}"),
        None => format!("{source}: {message}"),
    };
    let hint = hint.map(|h| format!("did you mean `{h}`?"));
    match place.and_then(|(line, column)| snippet(text, line, column, hint.as_deref())) {
        Some(snippet) => out.push_str(&snippet),
        None => out.extend(hint.map(|h| format!("; {h}"))),
    }
    Error::input(out)
}

const SEVERAL_DOCUMENTS: &str = "found a second document after `---`, expected one per file: remove the line, or split the file";

/// `found ..., ` for the node at `place`, if its kind can be seen from its first letters.
fn found_at(text: &str, place: Option<(usize, usize)>) -> String {
    const LONGEST: usize = 40;
    let line = place.and_then(|(line, column)| {
        let line = text.lines().nth(line.checked_sub(1)?)?;
        Some(
            line.chars()
                .skip(column.checked_sub(1)?)
                .collect::<String>(),
        )
    });
    let Some(rest) = line.filter(|rest| !rest.trim().is_empty()) else {
        return String::new();
    };
    let is_item = rest.starts_with("- ") || rest.trim() == "-";
    let quote = rest
        .chars()
        .next()
        .filter(|first| ['"', '\''].contains(first));
    let word = match quote.and_then(|quote| rest[1..].find(quote)) {
        Some(end) => &rest[..end + 2],
        None => rest
            .split([',', '}', ']', '#'])
            .next()
            .unwrap_or_default()
            .trim(),
    };
    let is_key = quote.is_none() && (word.contains(": ") || word.ends_with(':'));
    match rest.chars().next() {
        Some('[') => "found a list, ".to_owned(),
        Some('{') => "found a mapping, ".to_owned(),
        _ if is_item => "found a list, ".to_owned(),
        _ if is_key => "found a mapping, ".to_owned(),
        Some('&' | '*' | '!' | '|' | '>') | None => String::new(),
        Some(_) => match word.chars().count() <= LONGEST {
            true => format!("found `{word}`, "),
            false => String::new(),
        },
    }
}

fn plain(error: &serde_yaml::Error) -> String {
    let rendered = error.render_with_options(serde_yaml::render_options! {
        formatter: &UserMessageFormatter,
        snippets: SnippetMode::Off,
    });
    match rendered.rfind(" at line ") {
        Some(end) => rendered[..end].to_owned(),
        None => rendered,
    }
}

/// Line and column of the dotted `key`, if its last part occurs as a key exactly once.
pub fn place_of(text: &str, key: &str) -> Option<(usize, usize)> {
    let word = key.rsplit('.').next().filter(|word| !word.is_empty())?;
    let mut found = None;
    for (number, line) in text.lines().enumerate() {
        for (at, _) in line.match_indices(word) {
            let (before, after) = (&line[..at], &line[at + word.len()..]);
            let after = after.strip_prefix(['"', '\'']).unwrap_or(after);
            if before.ends_with(is_word) || !after.trim_start().starts_with(':') {
                continue;
            }
            if found.is_some() {
                return None;
            }
            found = Some((number + 1, before.chars().count() + 1));
        }
    }
    found
}

/// An error inside a map with a `kind` is reported at the map, although the word itself is further
/// down. `fits` checks its surroundings.
fn refine(
    text: &str,
    place: Option<(usize, usize)>,
    word: &str,
    fits: impl Fn(&str, &str) -> bool,
) -> Option<(usize, usize)> {
    let (first, column) = place?;
    for (number, line) in text.lines().enumerate().skip(first - 1) {
        let skipped = if number + 1 == first { column - 1 } else { 0 };
        for (at, _) in line.match_indices(word) {
            let (before, after) = (&line[..at], &line[at + word.len()..]);
            let column = before.chars().count();
            if before.ends_with(is_word) || after.starts_with(is_word) || column < skipped {
                continue;
            }
            let quotes = ['"', '\''];
            let before = before.strip_suffix(quotes).unwrap_or(before).trim_end();
            let after = after.strip_prefix(quotes).unwrap_or(after).trim_start();
            if fits(before, after) {
                return Some((number + 1, column + 1));
            }
        }
    }
    place
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn snippet(text: &str, line: usize, column: usize, hint: Option<&str>) -> Option<String> {
    let shown: String = text
        .lines()
        .nth(line.checked_sub(1)?)?
        .chars()
        .take(160)
        .collect();
    if column > shown.chars().count() + 1 {
        return None;
    }
    let gutter = line.to_string().len();
    let mut out = format!("\n{:gutter$} |\n{line} | {shown}\n{:gutter$} | ", "", "");
    let _ = write!(out, "{:1$}^", "", column.saturating_sub(1));
    if let Some(hint) = hint {
        let _ = write!(out, " {hint}");
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Experiment;

    fn message(text: &str) -> String {
        parse::<Experiment>(text, "x.yaml").unwrap_err().to_string()
    }

    #[test]
    fn a_typo_is_shown_in_place_with_the_nearest_key() {
        let found = message("name: a\npretrain_flw:\n  steps: 3\n");
        assert!(found.starts_with("x.yaml:2:1: unknown key `pretrain_flw`"));
        assert!(found.contains("2 | pretrain_flw:"), "{found}");
        assert!(found.contains("^ did you mean `pretrain_flow`?"), "{found}");
    }

    /// Fails if the second mistake is only found after the first is mended.
    #[test]
    fn every_unknown_key_is_listed_at_once() {
        let text = "name: a\npretrain_flow:\n  features: {file: a.h5}\n  stpes: 3\n  btach: 2\nestimate_nll:\n  pionts: 4\n";
        let found = message(text);
        for part in [
            "x.yaml:4:3: unknown key `stpes`",
            "x.yaml:5:3: unknown key `pretrain_flow.btach`; did you mean `batch`?",
            "x.yaml:7:3: unknown key `estimate_nll.pionts`; did you mean `points`?",
        ] {
            assert!(found.contains(part), "{found}");
        }
    }

    #[test]
    fn a_typo_under_a_kind_is_shown_at_the_key_itself() {
        let text = "name: a\ntrain_autoencoder:\n  latent: {width: 2}\n  regulariser:\n    kind: kl\n    wieght: 1.0\n";
        let found = message(text);
        assert!(
            found.starts_with("x.yaml:6:5: unknown key `wieght`"),
            "{found}"
        );
    }

    #[test]
    fn infinities_and_nan_are_refused_where_they_stand() {
        for number in [".nan", ".inf", "-.inf", "1e999"] {
            let text = format!(
                "name: a\npretrain_flow:\n  features: {{file: a.h5}}\n  optimiser:\n    ema: {number}\n"
            );
            let found = message(&text);
            assert!(found.starts_with("x.yaml:5:10: "), "{number}: {found}");
        }
    }

    #[test]
    fn an_alias_bomb_is_refused_quickly() {
        let mut text = String::from(
            "name: a\npretrain_flow: {features: {file: a.h5}}\nestimate_nll:\n  points: &a0 [x, x, x, x, x, x, x, x, x]\n",
        );
        for level in 1..12 {
            let inner = vec![format!("*a{}", level - 1); 9].join(", ");
            let _ = writeln!(text, "  k{level}: &a{level} [{inner}]");
        }
        let started = std::time::Instant::now();
        parse::<Value>(&text, "x.yaml").unwrap_err();
        message(&text);
        assert!(started.elapsed().as_millis() < 500);
    }

    #[test]
    fn nesting_has_a_limit() {
        let text = format!("name: {}{}", "[".repeat(20_000), "]".repeat(20_000));
        message(&text);
    }

    /// Detects: the parser's own words for the kinds of YAML nodes, and what was found left out.
    #[test]
    fn a_value_of_another_kind_is_named_with_what_was_found() {
        for (text, parts) in [
            (
                "name: a\npretrain_flow: [1]\n",
                ["found a list", "expected a mapping: `key: value`"],
            ),
            (
                "name: a\npretrain_flow: 3 # three\n",
                ["found `3`,", "expected a mapping"],
            ),
            ("name: [a]\n", ["found a list", "expected text"]),
            ("name: {a: b}\n", ["found a mapping", "expected text"]),
            (
                "name: a\npretrain_flow: {features: {file: a.h5}, steps: 1.5}\n",
                ["found `1.5`", "expected a whole number"],
            ),
            (
                "name: a\nestimate_nll: {levels: 3}\n",
                ["found `3`", "expected a list"],
            ),
            (
                "---\nname: a\n---\nname: b\n",
                [
                    "x.yaml:3:1: found a second document after `---`",
                    "expected one per file",
                ],
            ),
        ] {
            let found = message(text);
            for part in parts {
                assert!(found.contains(part), "{part} is missing from {found}");
            }
        }
    }

    /// Detects: a count that is only read from the command line with an exponent, and a fraction that is rounded.
    #[test]
    fn a_whole_number_may_be_written_with_an_exponent() {
        let text = "name: a # 1e3\npretrain_flow: {features: {file: '1e3'}, steps: 1e3, batch: 2.0}\n\
            estimate_nll: {points: 5e1}\n";
        let found: Experiment = parse(text, "x.yaml").unwrap();
        let flow = found.pretrain_flow.unwrap();
        assert_eq!((flow.steps, flow.batch), (1000, 2));
        assert_eq!(flow.features.file.first(), Path::new("1e3"));
        assert_eq!(found.estimate_nll.unwrap().points, 50);
        let found = message(&text.replace("'1e3'", "1e3"));
        assert!(found.contains("needs quotation marks"), "{found}");
        for wrong in ["1.5", "1e-3", "1e30", "-1e3"] {
            let found = message(&text.replace("1e3, batch", &format!("{wrong}, batch")));
            assert!(found.contains("expected a whole number"), "{found}");
        }
    }

    #[test]
    fn a_key_given_twice_is_refused() {
        assert!(message("name: a\nname: b\n").contains("`name` is given twice"));
    }
}
