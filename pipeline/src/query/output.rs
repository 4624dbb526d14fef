//! Where a table goes, and in which form.

use super::arguments::Format;
use super::filter::text;
use super::frame::Frame;
use super::text::{markdown, terminal};
use crate::console::Console;
use latent_align_stages::{Error, Result};
use polars::prelude::{AnyValue, DataType, ParquetWriter};
use serde_json::{Map, Number, Value};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// An open place for a table. A file is written beside its name and takes that when it is whole;
/// dropped before, it leaves nothing.
pub struct Output {
    format: Format,
    file: Option<Draft>,
}

struct Draft {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.temporary); // gone, once it has its name
    }
}

impl Output {
    /// Opens the file `out`, or stdout.
    ///
    /// # Errors
    /// [`Error::Input`] for parquet without a file, and a file that cannot be written.
    pub fn open(format: Format, out: Option<&Path>) -> Result<Self> {
        let Some(path) = out else {
            if format == Format::Parquet {
                let wrong = "--format parquet is for programs; say where with --out FILE";
                return Err(Error::input(wrong));
            }
            return Ok(Self { format, file: None });
        };
        let wrong = |why: String| Error::input(format!("--out {}: {why}", path.display()));
        let name = path.file_name().filter(|_| !path.is_dir());
        let name = name.ok_or_else(|| wrong("is a folder; expected a file to write".into()))?;
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".tmp-{}", std::process::id()));
        let temporary = path.with_file_name(temporary);
        let file = File::create(&temporary)
            .map_err(|e| wrong(format!("cannot be written ({e}); choose a writable folder")))?;
        let path = path.to_owned();
        Ok(Self {
            format,
            file: Some(Draft {
                file,
                temporary,
                path,
            }),
        })
    }

    /// Whether people read it, not programs.
    pub fn is_text(&self) -> bool {
        matches!(self.format, Format::Table | Format::Md)
    }

    /// Whether people read it, and at once.
    pub fn is_text_on_stdout(&self) -> bool {
        self.is_text() && self.file.is_none()
    }

    /// Writes `frame`.
    ///
    /// # Errors
    /// The file or stdout refuses.
    pub fn write(self, frame: &mut Frame, console: &Console) -> anyhow::Result<()> {
        self.write_with(frame, "", console)
    }

    /// Writes `frame`, and `notes` below it where people read.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_with(
        mut self,
        frame: &mut Frame,
        notes: &str,
        console: &Console,
    ) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Table => terminal(frame) + notes,
            Format::Md => markdown(frame) + notes,
            Format::Csv => csv(frame),
            Format::Json => json(frame),
            Format::Parquet => String::new(),
        };
        let Some(mut draft) = self.file.take() else {
            return console.print(&text);
        };
        let failed = |e: &dyn std::fmt::Display| Error::file(&draft.path, e);
        if self.format == Format::Parquet {
            let writer = ParquetWriter::new(&draft.file).set_parallel(false);
            writer.finish(&mut frame.data).map_err(|e| failed(&e))?;
        } else {
            draft
                .file
                .write_all(text.as_bytes())
                .map_err(|e| Error::file(&draft.path, e))?;
        }
        std::fs::rename(&draft.temporary, &draft.path).map_err(|e| Error::file(&draft.path, e))?;
        console.note(&format!(
            "{} rows in {}",
            frame.data.height(),
            draft.path.display()
        ));
        Ok(())
    }
}

/// A line a row, cells quoted as RFC 4180 has it; nothing where there is no value.
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

/// An array of objects, one a line; what is no number is null, as is what there is none of.
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

    #[test]
    fn a_file_that_is_not_finished_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table.csv");
        let output = Output::open(Format::Csv, Some(&path)).unwrap();
        assert_eq!(dir.path().read_dir().unwrap().count(), 1);
        drop(output);
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
        assert!(Output::open(Format::Csv, Some(dir.path())).is_err());
        assert!(Output::open(Format::Parquet, None).is_err());
    }
}
