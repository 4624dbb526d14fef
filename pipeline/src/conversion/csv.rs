//! Tables as text. A first pass counts the rows and checks every field, the second one passes them on.

use super::classes::{Words, label};
use super::columns::{Chosen, LabelColumn, shown};
use super::source::{Array, Sink, Source};
use csv::{ErrorKind, ReaderBuilder, StringRecord};
use latent_align_hdf5::{Number, OutData, foreign::extension};
use latent_align_stages::{Error, Result};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

/// Rows passed on at once hold about this many numbers.
const BLOCK: usize = 1 << 18;
/// What a field should be.
const NUMBER: &str = "a number";

/// A table whose fields have been checked.
#[derive(Debug)]
pub struct Csv {
    path: PathBuf,
    delimiter: u8,
    has_header: bool,
    chosen: Chosen,
    rows: usize,
    /// Whether f32 holds every feature exactly.
    is_single: bool,
    classes: Vec<String>,
    label_name: Option<String>,
    names: Vec<String>,
    /// The first row.
    first: Vec<String>,
}

/// Opens the table at `path`, with the columns `only`, or all.
///
/// # Errors
/// [`Error::Input`] for rows of different lengths, and fields that are no numbers.
pub fn open(path: &Path, only: &[String], labels: &LabelColumn) -> Result<Csv> {
    let place = path.display().to_string();
    let delimiter = delimiter(path)?;
    let mut first = StringRecord::new();
    reader(path, delimiter, false)?
        .read_record(&mut first)
        .map_err(|e| refuse(path, &e))?;
    if first.is_empty() {
        return Err(Error::input(format!(
            "{place}: found no row, expected a table with a number in each field"
        )));
    }
    let has_header = is_header(&first);
    let names: Vec<String> = match has_header {
        true => first.iter().map(|name| name.trim().to_owned()).collect(),
        false => (1..=first.len()).map(|at| at.to_string()).collect(),
    };
    let chosen = Chosen::of(&names, only, labels, &place)?;
    let mut csv = Csv {
        path: path.to_owned(),
        delimiter,
        has_header,
        label_name: chosen.labels.map(|at| names[at].clone()),
        chosen,
        rows: 0,
        is_single: true,
        classes: Vec::new(),
        names,
        first: first.iter().map(str::to_owned).collect(),
    };
    csv.look()?;
    match csv.rows {
        0 => Err(Error::input(format!(
            "{place}: found no row after the names of the columns ({}), expected rows of numbers",
            shown(&csv.names)
        ))),
        _ => Ok(csv),
    }
}

/// A field that is no number.
struct Bad {
    column: usize,
    line: u64,
    found: String,
    expected: &'static str,
}

impl Csv {
    /// Counts the rows, checks their fields, and collects the classes.
    fn look(&mut self) -> Result<()> {
        let mut words = Words::default();
        let (mut rows, mut is_single, mut bad) = (0, true, None);
        self.each_row(&mut |row, line| {
            for &column in &self.chosen.features {
                match number(row[column].trim()) {
                    Ok(value) => is_single &= f64::from(value as f32) == value || value.is_nan(),
                    Err((found, expected)) => {
                        bad.get_or_insert(Bad {
                            column,
                            line,
                            found,
                            expected,
                        });
                    }
                }
            }
            if let Some(at) = self.chosen.labels {
                words.add(row[at].trim(), &|| {
                    let place = self.path.display();
                    format!("{place}: line {line}, column `{}`", self.names[at])
                })?;
            }
            rows += 1;
            Ok(bad.is_none())
        })?;
        if let Some(bad) = bad {
            return Err(self.refuse_field(&bad)?);
        }
        (self.rows, self.is_single, self.classes) = (rows, is_single, words.classes());
        Ok(())
    }

    fn refuse_field(&self, bad: &Bad) -> Result<Error> {
        let numbers = self.columns_of_numbers()?;
        let mut way_out = match numbers.as_slice() {
            [] => "convert the texts to numbers first".to_owned(),
            some => {
                let words = self.chosen.features.iter().map(|&at| &self.names[at]);
                let mut words = words.filter(|name| !some.contains(name));
                let labels = match (self.chosen.labels, words.next(), words.next()) {
                    (None, Some(only), None) if bad.expected == NUMBER => only.as_str(),
                    _ => "NAME",
                };
                format!(
                    "choose the columns of numbers, `--only {}`, and one of labels with `--labels {labels}`",
                    some.join(",")
                )
            }
        };
        if bad.line == 1 && !self.has_header {
            way_out = format!(
                "if the first row is names, rename those that are empty or numbers; otherwise {way_out}"
            );
        }
        Ok(Error::input(format!(
            "{}: found {} in column `{}` of line {}, expected {}; {way_out}",
            self.path.display(),
            bad.found,
            self.names[bad.column],
            bad.line,
            bad.expected
        )))
    }

    /// Calls `take` with each row and its line, until it returns false.
    fn each_row(&self, take: &mut dyn FnMut(&StringRecord, u64) -> Result<bool>) -> Result<()> {
        let mut reader = reader(&self.path, self.delimiter, self.has_header)?;
        let mut row = StringRecord::new();
        while reader
            .read_record(&mut row)
            .map_err(|e| refuse(&self.path, &e))?
        {
            let line = row.position().map_or(0, csv::Position::line);
            if !take(&row, line)? {
                break;
            }
        }
        Ok(())
    }

    /// The names of the columns, other than the labels, whose fields are all numbers.
    fn columns_of_numbers(&self) -> Result<Vec<String>> {
        let mut are_numbers = vec![true; self.names.len()];
        self.each_row(&mut |row, _| {
            for (is, field) in are_numbers.iter_mut().zip(row) {
                *is &= number(field.trim()).is_ok();
            }
            Ok(true)
        })?;
        let features = self.chosen.features.iter().filter(|&&at| are_numbers[at]);
        Ok(features.map(|&at| self.names[at].clone()).collect())
    }
}

impl Source for Csv {
    fn arrays(&self) -> Vec<Array> {
        let mut arrays = Vec::new();
        if !self.chosen.features.is_empty() {
            arrays.push(Array {
                name: None,
                shape: vec![self.rows, self.chosen.features.len()],
                number: match self.is_single {
                    true => Number::F32,
                    false => Number::F64,
                },
                classes: Vec::new(),
            });
        }
        if self.chosen.labels.is_some() {
            arrays.push(Array {
                name: Some("labels".into()),
                shape: vec![self.rows],
                number: Number::I64,
                classes: self.classes.clone(),
            });
        }
        arrays
    }

    fn pour(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let features = self.chosen.features.as_slice();
        let width = features.len();
        let at_once = (BLOCK / width.max(1)).max(1);
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        let changed = || {
            Error::input(format!(
                "{}: found other fields than before, expected a file that stays as it is; convert it again",
                self.path.display()
            ))
        };
        let mut pass = |values: &mut Vec<f64>, labels: &mut Vec<i64>| {
            if width > 0 {
                match self.is_single {
                    true => {
                        let single: Vec<f32> = values.iter().map(|&v| v as f32).collect();
                        sink(0, OutData::F32(&single))?;
                    }
                    false => sink(0, OutData::F64(values))?,
                }
            }
            if self.chosen.labels.is_some() {
                sink(usize::from(width > 0), OutData::I64(labels))?;
            }
            values.clear();
            labels.clear();
            Ok::<_, Error>(())
        };
        let (mut rows, mut waiting) = (0, 0);
        self.each_row(&mut |row, _| {
            for &at in features {
                values.push(row[at].trim().parse::<f64>().map_err(|_| changed())?);
            }
            if let Some(at) = self.chosen.labels {
                labels.push(label(row[at].trim(), &self.classes).ok_or_else(changed)?);
            }
            (rows, waiting) = (rows + 1, waiting + 1);
            if rows > self.rows {
                return Err(changed());
            }
            if waiting == at_once {
                pass(&mut values, &mut labels)?;
                waiting = 0;
            }
            Ok(true)
        })?;
        if rows != self.rows {
            return Err(changed());
        }
        match waiting {
            0 => Ok(()),
            _ => pass(&mut values, &mut labels),
        }
    }

    fn notes(&self) -> Vec<String> {
        let labels = self.label_name.iter();
        let mut notes: Vec<String> = labels
            .map(|name| format!("the labels are the column `{name}`"))
            .collect();
        notes.extend(self.chosen.note.clone());
        notes.push(match self.has_header {
            true => format!("the first row is names: {}", shown(&self.names)),
            false => format!(
                "no names: the first row ({}) is values, and the columns are called 1 to {}",
                shown(&self.first),
                self.names.len()
            ),
        });
        notes
    }
}

/// Whether the `first` row is names: texts that are no numbers, where the first one, of pandas' index, may be empty, or
/// pandas' own names 0, 1, ... after it.
fn is_header(first: &StringRecord) -> bool {
    let is_name = |field: &str| !field.trim().is_empty() && field.trim().parse::<f64>().is_err();
    let mut others = first.iter().skip(1);
    let is_index = first[0].trim().is_empty() && first.len() > 1;
    let mut counted = (0..).zip(others.clone());
    let are_counted = counted.all(|(at, field): (usize, _)| field.trim() == at.to_string());
    (is_index && are_counted) || ((is_index || is_name(&first[0])) && others.all(is_name))
}

/// The number of `field`.
///
/// # Errors
/// What it is instead, and what was expected.
fn number(field: &str) -> Result<f64, (String, &'static str)> {
    match field.parse() {
        Ok(value) if is_exact(field, value) => Ok(value),
        Ok(_) => Err((
            format!("the integer {field}"),
            "a number that f64 holds exactly",
        )),
        Err(_) if field.is_empty() => Err(("an empty field".to_owned(), NUMBER)),
        Err(_) => Err((format!("`{field}`"), NUMBER)),
    }
}

/// Whether `value` is the number of `field`, if that is an integer.
fn is_exact(field: &str, value: f64) -> bool {
    const MOST: f64 = (1u64 << f64::MANTISSA_DIGITS) as f64;
    value.abs() < MOST
        || field.contains(|c: char| !c.is_ascii_digit() && !matches!(c, '-' | '+'))
        || field
            .parse::<i128>()
            .is_ok_and(|whole| value as i128 == whole)
}

fn reader(path: &Path, delimiter: u8, has_header: bool) -> Result<csv::Reader<File>> {
    let file = File::open(path).map_err(|e| Error::file(path, e))?;
    let mut builder = ReaderBuilder::new();
    Ok(builder
        .has_headers(has_header)
        .delimiter(delimiter)
        .from_reader(file))
}

/// The most frequent of comma, semicolon and tab in the first line; the tab of a `.tsv`.
fn delimiter(path: &Path) -> Result<u8> {
    if extension(path) == "tsv" {
        return Ok(b'\t');
    }
    let file = File::open(path).map_err(|e| Error::file(path, e))?;
    let mut line = Vec::new();
    BufReader::new(file)
        .read_until(b'\n', &mut line)
        .map_err(|e| Error::file(path, e))?;
    let count = |mark: u8| line.iter().filter(|&&byte| byte == mark).count();
    let marks = [b'\t', b';', b','];
    Ok(marks
        .into_iter()
        .max_by_key(|&mark| count(mark))
        .unwrap_or(b','))
}

fn refuse(path: &Path, error: &csv::Error) -> Error {
    let shown = path.display();
    match error.kind() {
        ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => Error::input(format!(
            "{shown}: found {len} fields in line {}, expected {expected_len} as in the first line; add or remove fields",
            pos.as_ref().map_or(0, csv::Position::line)
        )),
        ErrorKind::Utf8 { pos, .. } => Error::input(format!(
            "{shown}: found bytes that are no UTF-8 in line {}, expected a table as text; save it again as UTF-8",
            pos.as_ref().map_or(0, csv::Position::line)
        )),
        _ => Error::file(path, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise a row of values is lost as names.
    #[test]
    fn the_first_row_is_names_only_if_no_field_is_empty_or_a_number() {
        for (row, expected) in [
            (&["x", "y"][..], true),
            (&["", "x", "y"], true),
            (&["x"], true),
            (&["1", "", "3"], false),
            (&["5.1", "3.5", "Iris-setosa"], false),
            (&["", "2", "3"], false),
            (&["", "0", "1"], true),
            (&["0", "1"], false),
            (&["x", "nan"], false),
            (&[""], false),
        ] {
            assert_eq!(is_header(&StringRecord::from(row)), expected, "{row:?}");
        }
    }

    #[test]
    fn integers_that_f64_would_round_are_not_exact() {
        for (field, expected) in [
            ("9007199254740993", false),
            ("-9007199254740992", true),
            ("18014398509481984", true),
            ("1e300", true),
            ("123456789012345678901234567890123456789012", false),
        ] {
            assert_eq!(is_exact(field, field.parse().unwrap()), expected, "{field}");
        }
    }
}
