//! The destination and the format of a table.

use super::filter::text;
use super::frame::Frame;
use super::terminal::{markdown, terminal};
use crate::console::{Console, visible};
use crate::destination::Destination;
use clap::ValueEnum;
use latent_align_stages::{Error, Result};
use polars::prelude::{AnyValue, DataType, ParquetWriter};
use serde_json::{Map, Number, Value};
use std::path::Path;

/// The format of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For a terminal
    #[default]
    Table,
    /// A table in Markdown
    #[value(alias = "md")]
    Markdown,
    /// Comma-separated values
    Csv,
    /// An array of objects
    Json,
    /// Apache Parquet; needs --out
    Parquet,
}

/// The destination of a table: stdout, or a file that appears once it is complete.
pub struct Output {
    format: Format,
    file: Option<Destination>,
}

impl Output {
    /// Opens the file `out`, replacing it with `force`, or stdout.
    ///
    /// # Errors
    /// [`Error::Input`] for Parquet without a file, and as [`Destination::open`].
    pub fn open(format: Format, out: Option<&Path>, force: bool) -> Result<Self> {
        if out.is_none() && format == Format::Parquet {
            let wrong = "--format parquet is for programs; give a file with --out FILE";
            return Err(Error::input(wrong));
        }
        let file = out.map(|path| Destination::open(path, force)).transpose()?;
        Ok(Self { format, file })
    }

    /// Whether the format is for readers, not programs.
    pub fn is_text(&self) -> bool {
        matches!(self.format, Format::Table | Format::Markdown)
    }

    /// Whether the format is for readers, and the destination is stdout.
    pub fn is_text_on_stdout(&self) -> bool {
        self.is_text() && self.file.is_none()
    }

    /// Checks that the format is for readers, as needed by `what`, a page of text.
    ///
    /// # Errors
    /// [`Error::Input`] for a format for programs.
    pub fn must_be_text(&self, what: &str) -> Result<()> {
        match self.format.to_possible_value() {
            Some(format) if !self.is_text() => Err(Error::input(format!(
                "--format {}: found {what}, shown as a page of text; use --format markdown or leave it out",
                format.get_name()
            ))),
            _ => Ok(()),
        }
    }

    /// Writes `page`, a text that is not a table.
    ///
    /// # Errors
    /// Writing fails.
    pub fn write_page(self, page: &str, console: &Console) -> anyhow::Result<()> {
        let Some(file) = self.file else {
            console.print(page);
            return Ok(());
        };
        let told = file.path().display().to_string();
        file.write(visible(page).as_bytes())?;
        console.note(&told);
        Ok(())
    }

    /// Writes `frame`.
    ///
    /// # Errors
    /// Writing fails.
    pub fn write(self, frame: &mut Frame, console: &Console) -> anyhow::Result<()> {
        self.write_with(frame, "", console)
    }

    /// Writes `frame`, with `notes` below it in formats for readers.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_with(
        self,
        frame: &mut Frame,
        notes: &str,
        console: &Console,
    ) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Table => terminal(frame) + notes,
            Format::Markdown => markdown(frame) + notes,
            Format::Csv => csv(frame),
            Format::Json => json(frame),
            Format::Parquet => String::new(),
        };
        let Some(file) = self.file else {
            match self.format {
                Format::Table | Format::Markdown => console.print(&text),
                _ => console.print_for_programs(&text),
            }
            return Ok(());
        };
        let told = format!("{} rows in {}", frame.data.height(), file.path().display());
        match self.format {
            Format::Table | Format::Markdown => file.write(visible(&text).as_bytes())?,
            Format::Csv | Format::Json => file.write(text.as_bytes())?,
            Format::Parquet => file.write(&parquet(frame)?)?,
        }
        console.note(&told);
        Ok(())
    }
}

fn parquet(frame: &mut Frame) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let writer = ParquetWriter::new(&mut bytes).set_parallel(false);
    writer.finish(&mut frame.data)?;
    Ok(bytes)
}

/// One line per row, cells quoted according to RFC 4180; empty for missing values.
fn csv(frame: &Frame) -> String {
    let quoted = |cell: String| match cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    };
    let columns = frame.data.columns();
    let header = columns.iter().map(|c| quoted(c.name().to_string()));
    let mut lines = vec![header.collect::<Vec<_>>().join(",")];
    let mut rows = vec![Vec::new(); frame.data.height()];
    for column in columns {
        for (row, value) in rows.iter_mut().zip(column.as_materialized_series().iter()) {
            row.push(quoted(text(&value)));
        }
    }
    lines.extend(rows.into_iter().map(|row| row.join(",")));
    lines.join("\n") + "\n"
}

/// An array of objects, one per line; NaN and missing values become null.
fn json(frame: &Frame) -> String {
    let mut rows = vec![Map::new(); frame.data.height()];
    for column in frame.data.columns() {
        let whole = matches!(column.dtype(), DataType::Int64 | DataType::UInt64);
        for (row, value) in rows.iter_mut().zip(column.as_materialized_series().iter()) {
            let value = match &value {
                AnyValue::Null => Value::Null,
                AnyValue::Boolean(flag) => Value::Bool(*flag),
                value if whole => value.extract::<i64>().map_or(Value::Null, Value::from),
                value if column.dtype().is_float() => {
                    let number = value.extract::<f64>().and_then(Number::from_f64);
                    number.map_or(Value::Null, Value::Number)
                }
                value => Value::String(text(value)),
            };
            row.insert(column.name().to_string(), value);
        }
    }
    let lines: Vec<String> = rows
        .into_iter()
        .map(|row| Value::Object(row).to_string())
        .collect();
    match lines.is_empty() {
        true => "[]\n".into(),
        false => format!("[\n{}\n]\n", lines.join(",\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::{Field, Source, Values};
    use super::*;

    fn frame() -> Frame {
        let fields = vec![
            Field::text("name", ["a \"b\", c", ""].into_iter()),
            Field::new("x", Values::Float(vec![Some(0.1), Some(f64::NAN)])),
            Field::new("n", Values::Int(vec![None, Some(-3)])),
            Field::new("flag", Values::Setting(vec![Some("true"), Some("null")])),
        ];
        let source = Source::new(2, fields);
        Frame::of(&source, &[], &[], None, &source.shown).unwrap()
    }

    #[test]
    fn json_has_numbers_as_numbers_and_null_where_there_are_none() {
        let rows: Value = serde_json::from_str(&json(&frame())).unwrap();
        let expected = serde_json::json!([
            {"name": "a \"b\", c", "x": 0.1, "n": null, "flag": true},
            {"name": null, "x": null, "n": -3, "flag": null},
        ]);
        assert_eq!(rows, expected);
    }

    #[test]
    fn csv_quotes_what_would_break_a_line() {
        let expected = "name,x,n,flag\n\"a \"\"b\"\", c\",0.1,,true\n,NaN,-3,\n";
        assert_eq!(csv(&frame()), expected);
    }
}
