//! Tables for the terminal.

use super::coded::short_name;
use super::figures::shown;
use super::filter::text;
use super::frame::Frame;
use super::numbers::{bytes, duration, number};
use super::source::Kind;
use super::table::{TERMINAL, columns, exchanged, longest_line, markdown_within, narrower};
use polars::prelude::AnyValue;

/// Headers are not wrapped below this width.
const NARROW: usize = 16;

/// Aligned columns; transposed if that is narrower and the table is wider than a terminal.
pub fn terminal(frame: &Frame) -> String {
    let rows = cells(frame, "-");
    let upright = columns(&with_broken_header(&rows));
    // Transposing a table of more rows than columns only makes it wider.
    match longest_line(&upright) <= TERMINAL || rows.len() > rows[0].len() {
        true => upright,
        false => narrower(upright, columns(&exchanged(&rows))),
    }
}

/// The same as Markdown.
pub fn markdown(frame: &Frame) -> String {
    markdown_within(&cells(frame, ""), TERMINAL)
}

/// The header and every row, with `none` for missing values.
fn cells(frame: &Frame, none: &str) -> Vec<Vec<String>> {
    let mut rows = vec![Vec::new(); frame.data.height() + 1];
    for (column, kind) in frame.data.columns().iter().zip(&frame.kinds) {
        let name = column.name().as_str();
        if *kind != Kind::Delta {
            rows[0].push(short_name(name).to_owned());
        }
        for (row, value) in rows[1..]
            .iter_mut()
            .zip(column.as_materialized_series().iter())
        {
            if *kind != Kind::Delta {
                row.push(match &value {
                    AnyValue::Null => none.to_owned(),
                    value => cell(name, *kind, value),
                });
            } else if let (Some(delta), Some(before)) = (value.extract::<f64>(), row.last_mut())
                && !value.is_null()
                && delta != 0.0
            {
                *before = format!(
                    "{before} ({}{})",
                    if delta > 0.0 { "+" } else { "" },
                    number(delta)
                );
            }
        }
    }
    rows
}

fn cell(name: &str, kind: Kind, value: &AnyValue) -> String {
    let number = value.extract::<f64>();
    match (kind, number) {
        (Kind::Figure, Some(number)) => shown(name, number),
        (Kind::Seconds, Some(seconds)) => duration(seconds),
        (Kind::Bytes, Some(size)) => bytes(size as u64),
        (Kind::Moment, _) => text(value)
            .replace('T', " ")
            .trim_end_matches('Z')
            .to_owned(),
        _ => text(value).replace('\n', " "),
    }
}

/// The same rows with headers wrapped if they are wider than the cells below them.
fn with_broken_header(rows: &[Vec<String>]) -> Vec<Vec<String>> {
    let mut rows = rows.to_vec();
    let (header, body) = rows.split_first_mut().expect("the header is always there");
    for (i, name) in header.iter_mut().enumerate() {
        let width = body.iter().map(|row| row[i].chars().count()).max();
        *name = lines(name, width.unwrap_or(0).max(NARROW)).join("\n");
    }
    rows
}

/// `text` in lines of at most `width` characters, except for longer words, each after `indent`.
pub fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let lines = lines(text, width.saturating_sub(indent.len())).into_iter();
    lines.map(|line| format!("{indent}{line}\n")).collect()
}

/// The words of `name` in lines of at most `width`, except for longer words.
fn lines(name: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in name.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::source::{Field, Source, Values};
    use super::*;

    fn frame() -> Frame {
        let fields = vec![
            Field::text("name", ["a", "b"].into_iter()),
            Field::new("seconds", Values::Float(vec![Some(80.4), None])).of(Kind::Seconds),
            Field::new(
                "flow: mean NLL under it (nats)",
                Values::Float(vec![Some(22.0), Some(24.5)]),
            )
            .of(Kind::Figure),
            Field::new("change", Values::Float(vec![Some(0.0), Some(2.5)])).of(Kind::Delta),
        ];
        let source = Source::new(2, fields);
        Frame::of(&source, &[], &[], None, &source.shown).unwrap()
    }

    #[test]
    fn numbers_are_for_people_and_headers_are_broken() {
        let expected = "\
name  seconds       flow: mean NLL
                    under it (nats)
a     1 min 20 s    22
b     -             24.500 (+2.5000)
";
        let table = terminal(&frame());
        let trimmed = |t: &str| {
            t.lines()
                .map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect::<Vec<_>>()
        };
        assert_eq!(trimmed(&table), trimmed(expected), "{table}");
    }

    #[test]
    fn markdown_has_one_header_line() {
        let table = markdown(&frame());
        assert!(
            table.starts_with("| name | seconds    | flow: mean NLL under it (nats) |\n|--"),
            "{table}"
        );
        assert!(
            table.contains("| b    |            | 24.500 (+2.5000) "),
            "{table}"
        );
    }
}
