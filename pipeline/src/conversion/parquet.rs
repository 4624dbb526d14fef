//! Parquet tables: columns of numbers are the columns of the features, a column of lists is an array of its own.

use super::classes::{Words, label};
use super::columns::{Chosen, LabelColumn, shown};
use super::source::{Array, Sink, Source};
use latent_align_hdf5::{Number, OutData};
use latent_align_stages::{Error, Result};
use polars::prelude::{
    ArrowDataType, DataFrame, DataType, ParallelStrategy, ParquetReader, SerReader as _, Series,
};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows read at once hold about this many numbers. Each read decodes its row group from the start.
const READ: usize = 1 << 24;
/// Rows passed on at once hold about this many numbers.
const BLOCK: usize = 1 << 20;

/// A table with its columns chosen.
#[derive(Debug)]
pub struct Parquet {
    path: PathBuf,
    rows: usize,
    /// Rows of each row group.
    groups: Vec<usize>,
    /// Columns of numbers, which become one array.
    flat: Vec<String>,
    /// Columns of lists, and the shape of each list.
    lists: Vec<(String, Vec<usize>)>,
    /// The type of the array of `flat`, and of each list.
    numbers: Vec<Number>,
    labels: Option<String>,
    classes: Vec<String>,
    left_out: Vec<String>,
    /// A note on columns of pandas.
    note: Option<String>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    List,
    Other,
}

/// Opens the table at `path`, with the columns `only`, or all.
///
/// # Errors
/// [`Error::Input`] for a damaged file, columns that are no numbers, empty fields, and lists of different lengths.
pub fn open(path: &Path, only: &[String], labels: &LabelColumn) -> Result<Parquet> {
    let place = path.display().to_string();
    let mut reader = reader(path)?;
    let (schema, metadata) = guarded(path, || {
        Ok((reader.schema()?, reader.get_metadata()?.clone()))
    })?;
    let columns = Columns {
        place: &place,
        names: schema.iter_names().map(ToString::to_string).collect(),
        types: schema.iter_values().map(|f| f.dtype().clone()).collect(),
    };
    let names = &columns.names;
    let chosen = Chosen::of(names, only, labels, &place)?;
    let of = |wanted: Kind| -> Vec<usize> {
        let features = chosen.features.iter().copied();
        features
            .filter(|&at| kind(&columns.types[at]) == wanted)
            .collect()
    };
    let (mut flat, lists, others) = (of(Kind::Number), of(Kind::List), of(Kind::Other));
    let mut left_out = Vec::new();
    if !lists.is_empty() && only.is_empty() {
        let out = flat.iter().chain(&others);
        left_out.extend(out.map(|&at| names[at].clone()));
        flat.clear();
    } else if let Some(&other) = others.first() {
        return Err(columns.of_no_numbers(other, &flat));
    }
    columns.refuse_narrow(&flat, &lists, chosen.labels)?;
    columns.refuse_labels(chosen.labels)?;
    let mut parquet = Parquet {
        path: path.to_owned(),
        rows: metadata.num_rows,
        groups: (metadata.row_groups.iter())
            .map(|group| group.num_rows())
            .collect(),
        flat: flat.iter().map(|&at| names[at].clone()).collect(),
        lists: lists
            .iter()
            .map(|&at| (names[at].clone(), Vec::new()))
            .collect(),
        numbers: Vec::new(),
        labels: chosen.labels.map(|at| names[at].clone()),
        classes: Vec::new(),
        left_out,
        note: chosen.note,
    };
    if parquet.rows == 0 {
        return Err(Error::input(format!(
            "{place}: found a table without rows, expected some"
        )));
    }
    parquet.look()?;
    Ok(parquet)
}

/// The columns of the table at `place`.
struct Columns<'a> {
    place: &'a str,
    names: Vec<String>,
    types: Vec<ArrowDataType>,
}

impl Columns<'_> {
    /// The error for the column `other`, if those of numbers are `flat`.
    fn of_no_numbers(&self, other: usize, flat: &[usize]) -> Error {
        let numbers: Vec<&str> = flat.iter().map(|&at| self.names[at].as_str()).collect();
        Error::input(format!(
            "{}: found the column `{}` of type {:?}, expected numbers or lists of them; choose columns, `--only {}`, \
             and one of labels with `--labels NAME`",
            self.place,
            self.names[other],
            self.types[other],
            match numbers.as_slice() {
                [] => "NAME".to_owned(),
                some => some.join(","),
            }
        ))
    }

    /// Refuses columns of fewer than 32 bits a number.
    fn refuse_narrow(&self, flat: &[usize], lists: &[usize], labels: Option<usize>) -> Result<()> {
        let read = flat.iter().chain(lists).chain(&labels);
        let mut found_narrow = read.filter_map(|&at| Some((at, narrow(&self.types[at])?)));
        let Some((at, (found, expected))) = found_narrow.next() else {
            return Ok(());
        };
        let name = &self.names[at];
        let cast = match lists.contains(&at) {
            true => format!("df[{name:?}] = [x.astype(\"{expected}\") for x in df[{name:?}]]"),
            false if found_narrow.next().is_some() => format!(
                "df = df.astype({{c: \"{expected}\" for c in df.select_dtypes([\"int8\", \"uint8\", \"int16\", \
                 \"uint16\", \"float16\"])}})"
            ),
            false => format!("df = df.astype({{{name:?}: \"{expected}\"}})"),
        };
        Err(Error::input(format!(
            "{}: found the column `{name}` of {found}, expected numbers of 32 or 64 bits; write it again as those, \
             `{cast}`",
            self.place
        )))
    }

    fn refuse_labels(&self, labels: Option<usize>) -> Result<()> {
        let Some(at) = labels else { return Ok(()) };
        let dtype = &self.types[at];
        if kind(dtype) == Kind::Number || is_text(dtype) {
            return Ok(());
        }
        Err(Error::input(format!(
            "{}: found the column `{}` of type {dtype:?}, expected integers or texts as labels; choose another with \
             --labels NAME, or leave it out with --only",
            self.place, self.names[at]
        )))
    }
}

/// A reader of the types in the table itself. Types of other programs beside them, such as lists of a fixed length, are
/// ignored.
fn reader(path: &Path) -> Result<ParquetReader<File>> {
    let file = File::open(path).map_err(|e| Error::file(path, e))?;
    let mut reader = ParquetReader::new(file).read_parallel(ParallelStrategy::None);
    let metadata = guarded(path, || Ok(reader.get_metadata()?.as_ref().clone()))?;
    let mut metadata = metadata;
    metadata.key_value_metadata = None;
    reader.set_metadata(Arc::new(metadata));
    Ok(reader)
}

/// Calls polars, which reports some damaged files by a panic.
fn guarded<T>(path: &Path, read: impl FnOnce() -> polars::prelude::PolarsResult<T>) -> Result<T> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let done = catch_unwind(AssertUnwindSafe(read));
    std::panic::set_hook(hook);
    let why = match done {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(why)) => why.to_string(),
        Err(_) => "its reader gave up".to_owned(),
    };
    Err(Error::input(format!(
        "{}: found a table that cannot be read ({why}), expected Parquet; the file may be truncated or damaged. Copy or \
         write it again",
        path.display()
    )))
}

fn kind(dtype: &ArrowDataType) -> Kind {
    match dtype {
        ArrowDataType::Boolean
        | ArrowDataType::Int8
        | ArrowDataType::Int16
        | ArrowDataType::Int32
        | ArrowDataType::Int64
        | ArrowDataType::UInt8
        | ArrowDataType::UInt16
        | ArrowDataType::UInt32
        | ArrowDataType::UInt64
        | ArrowDataType::Float16
        | ArrowDataType::FixedSizeBinary(2)
        | ArrowDataType::Float32
        | ArrowDataType::Float64 => Kind::Number,
        ArrowDataType::List(inner)
        | ArrowDataType::LargeList(inner)
        | ArrowDataType::FixedSizeList(inner, _)
            if kind(inner.dtype()) != Kind::Other =>
        {
            Kind::List
        }
        _ => Kind::Other,
    }
}

fn is_text(dtype: &ArrowDataType) -> bool {
    use ArrowDataType::{Dictionary, LargeUtf8, Utf8, Utf8View};
    matches!(dtype, Utf8 | LargeUtf8 | Utf8View | Dictionary(..))
}

/// If `dtype` is of numbers that are not read: what it is, and NumPy's type for them.
fn narrow(dtype: &ArrowDataType) -> Option<(&'static str, &'static str)> {
    Some(match dtype {
        ArrowDataType::Int8 => ("int8", "int32"),
        ArrowDataType::Int16 => ("int16", "int32"),
        ArrowDataType::UInt8 => ("uint8", "int32"),
        ArrowDataType::UInt16 => ("uint16", "int32"),
        // float16 of Parquet is two bytes
        ArrowDataType::Float16 | ArrowDataType::FixedSizeBinary(2) => ("float16", "float32"),
        ArrowDataType::List(inner)
        | ArrowDataType::LargeList(inner)
        | ArrowDataType::FixedSizeList(inner, _) => return narrow(inner.dtype()),
        _ => return None,
    })
}

impl Parquet {
    /// Looks at the first row, for the shapes of lists, and at all labels.
    fn look(&mut self) -> Result<()> {
        let first = self.read(0, 1)?;
        for at in 0..self.lists.len() {
            let name = self.lists[at].0.clone();
            let (shape, inner) = self.flattened(&self.column(&first, &name)?, &name, 0)?;
            self.lists[at].1 = shape[1..].to_vec();
            self.numbers.push(number(inner.dtype()));
        }
        if !self.flat.is_empty() {
            let columns: Result<Vec<Series>> =
                self.flat.iter().map(|n| self.column(&first, n)).collect();
            let widest = columns?.iter().map(|c| number(c.dtype())).reduce(wider);
            self.numbers.insert(0, widest.unwrap_or(Number::F32));
        }
        if let Some(name) = &self.labels {
            let mut words = Words::default();
            for (start, rows) in self.reads(1) {
                let labels = self.read_columns(std::slice::from_ref(name), start, rows)?;
                let column = self.column(&labels, name)?;
                for (row, word) in self.words(&column, name, start)?.into_iter().enumerate() {
                    words.add(&word, &|| {
                        let place = self.path.display();
                        format!("{place}: row {}, column `{name}`", start + row)
                    })?;
                }
            }
            self.classes = words.classes();
        }
        Ok(())
    }

    /// The numbers of a row, without its label.
    fn width(&self) -> usize {
        let lists = self
            .lists
            .iter()
            .map(|(_, shape)| shape.iter().product::<usize>());
        self.flat.len() + lists.sum::<usize>()
    }

    /// Ranges of rows of `width` numbers that are read at once, each in one row group.
    fn reads(&self, width: usize) -> Vec<(usize, usize)> {
        let at_once = (READ / width.max(1)).max(1);
        let (mut reads, mut start) = (Vec::new(), 0);
        for &rows in &self.groups {
            let starts = (0..rows).step_by(at_once);
            reads.extend(starts.map(|at| (start + at, at_once.min(rows - at))));
            start += rows;
        }
        reads
    }

    fn read(&self, start: usize, rows: usize) -> Result<DataFrame> {
        let lists = self.lists.iter().map(|(name, _)| name);
        let names: Vec<String> = self
            .flat
            .iter()
            .chain(lists)
            .chain(&self.labels)
            .cloned()
            .collect();
        self.read_columns(&names, start, rows)
    }

    fn read_columns(&self, names: &[String], start: usize, rows: usize) -> Result<DataFrame> {
        let reader = reader(&self.path)?.with_columns(Some(names.to_vec()));
        guarded(&self.path, || {
            reader.with_slice(Some((start, rows))).finish()
        })
    }

    fn column(&self, frame: &DataFrame, name: &str) -> Result<Series> {
        let found = guarded(&self.path, || frame.column(name).cloned())?;
        Ok(found.take_materialized_series().rechunk())
    }

    /// Refuses empty fields; `start` is the first row.
    fn refuse_empty(&self, column: &Series, name: &str, start: usize) -> Result<()> {
        if column.null_count() == 0 {
            return Ok(());
        }
        let at = column.is_null().iter().position(|null| null == Some(true));
        Err(Error::input(format!(
            "{}: found an empty field in column `{name}` at row {}, expected a value in each; fill or remove such rows",
            self.path.display(),
            start + at.unwrap_or(0)
        )))
    }

    /// The values of lists of lists, and their shape [rows, ...].
    fn flattened(&self, column: &Series, name: &str, start: usize) -> Result<(Vec<usize>, Series)> {
        self.refuse_empty(column, name, start)?;
        let mut shape = vec![column.len()];
        let mut inner = column.clone();
        while matches!(inner.dtype(), DataType::List(_)) {
            let lists = guarded(&self.path, || inner.rechunk().list().cloned())?;
            let mut lengths = lists
                .downcast_iter()
                .flat_map(|lists| lists.offsets().lengths());
            let width = lengths.next().unwrap_or(0);
            if let Some(at) = lengths.position(|length| length != width) {
                let per_row = shape[1..].iter().product::<usize>().max(1);
                return Err(Error::input(format!(
                    "{}: found lists of different lengths in column `{name}`, {width} numbers at row {start} and others \
                     at row {}, expected the same in each row; pad or remove such rows",
                    self.path.display(),
                    start + (at + 1) / per_row
                )));
            }
            shape.push(width);
            let chunk = lists.downcast_iter().next().map(|lists| {
                let (first, length) = (lists.offsets().first(), lists.offsets().range());
                lists.values().sliced(*first as usize, length as usize)
            });
            let Some(values) = chunk else { break };
            inner = guarded(&self.path, || Series::from_arrow(name.into(), values))?;
            self.refuse_empty(&inner, name, start)?;
        }
        Ok((shape, inner))
    }

    /// The labels of `column` as words.
    fn words(&self, column: &Series, name: &str, start: usize) -> Result<Vec<String>> {
        self.refuse_empty(column, name, start)?;
        let failed = |dtype: &DataType| {
            Error::input(format!(
                "{}: found the column `{name}` of type {dtype}, expected integers or texts as labels; choose others with \
                 --labels",
                self.path.display()
            ))
        };
        if let Ok(texts) = column.str() {
            return Ok(texts.iter().flatten().map(str::to_owned).collect());
        }
        match column.dtype() {
            DataType::Boolean => {
                let flags = guarded(&self.path, || column.bool().cloned())?;
                Ok(flags
                    .iter()
                    .flatten()
                    .map(|flag| i64::from(flag).to_string())
                    .collect())
            }
            dtype if dtype.is_integer() => {
                let whole = guarded(&self.path, || column.cast(&DataType::Int64))?;
                if whole.null_count() > 0 {
                    return Err(Error::input(format!(
                        "{}: found a label of 2^63 or more in column `{name}`, expected integers that i64 holds; number \
                         the classes from 0, `pandas.factorize`",
                        self.path.display()
                    )));
                }
                let whole = guarded(&self.path, || whole.i64().cloned())?;
                Ok(whole.iter().flatten().map(|v| v.to_string()).collect())
            }
            DataType::Float32 | DataType::Float64 => {
                let values = guarded(&self.path, || column.cast(&DataType::Float64))?;
                let values = guarded(&self.path, || values.f64().cloned())?;
                let integers = values.iter().flatten().all(|v| v.fract() == 0.0);
                match integers {
                    true => Ok(values.iter().flatten().map(|v| format!("{v:.0}")).collect()),
                    false => Err(failed(column.dtype())),
                }
            }
            dtype => Err(failed(dtype)),
        }
    }

    fn doubles(&self, column: &Series, name: &str) -> Result<Vec<f64>> {
        let real = guarded(&self.path, || column.cast(&DataType::Float64))?;
        let real = guarded(&self.path, || real.f64().cloned())?;
        if real.null_count() > 0 {
            return Err(Error::input(format!(
                "{}: found values in column `{name}` that are no numbers of f64, expected such; choose others with --only",
                self.path.display()
            )));
        }
        let values: Vec<f64> = real.iter().flatten().collect();
        let is_wide = matches!(column.dtype(), DataType::Int64 | DataType::UInt64);
        if is_wide
            && values
                .iter()
                .any(|v| v.abs() >= (1u64 << f64::MANTISSA_DIGITS) as f64)
        {
            return Err(Error::input(format!(
                "{}: found integers beyond 2^53 in column `{name}`, expected numbers that f64 holds exactly; choose \
                 others with --only",
                self.path.display()
            )));
        }
        Ok(values)
    }
}

/// The type that holds every number of this type exactly.
fn number(dtype: &DataType) -> Number {
    match dtype {
        DataType::Boolean | DataType::UInt8 => Number::U8,
        DataType::Int8 | DataType::Int16 | DataType::UInt16 | DataType::Float32 => Number::F32,
        DataType::Int32
        | DataType::Int64
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float64 => Number::F64,
        // f16
        _ => Number::F32,
    }
}

fn wider(a: Number, b: Number) -> Number {
    match (a, b) {
        (Number::F64, _) | (_, Number::F64) => Number::F64,
        (Number::U8, Number::U8) => Number::U8,
        _ => Number::F32,
    }
}

/// Passes `values` on as numbers of type `number`, which holds them exactly.
fn pass(values: &[f64], number: Number, at: usize, sink: &mut Sink<'_>) -> Result<()> {
    match number {
        Number::U8 => {
            let bytes: Vec<u8> = values.iter().map(|&v| v as u8).collect();
            sink(at, OutData::U8(&bytes))
        }
        Number::F64 => sink(at, OutData::F64(values)),
        _ => {
            let single: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            sink(at, OutData::F32(&single))
        }
    }
}

impl Source for Parquet {
    fn arrays(&self) -> Vec<Array> {
        let mut numbers = self.numbers.iter().copied();
        let mut next = || numbers.next().unwrap_or(Number::F32);
        let mut arrays = Vec::new();
        let array = |name: Option<&str>, shape: Vec<usize>, number| Array {
            name: name.map(str::to_owned),
            shape,
            number,
            classes: Vec::new(),
        };
        if !self.flat.is_empty() {
            arrays.push(array(None, vec![self.rows, self.flat.len()], next()));
        }
        let is_alone = self.lists.len() == 1 && self.flat.is_empty();
        for (name, item) in &self.lists {
            let shape = [&[self.rows], item.as_slice()].concat();
            arrays.push(array(
                Some(name.as_str()).filter(|_| !is_alone),
                shape,
                next(),
            ));
        }
        if self.labels.is_some() {
            let mut labels = array(Some("labels"), vec![self.rows], Number::I64);
            labels.classes.clone_from(&self.classes);
            arrays.push(labels);
        }
        arrays
    }

    fn pour(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let at_once = (BLOCK / self.width().max(1)).max(1);
        for (start, rows) in self.reads(self.width()) {
            let frame = self.read(start, rows)?;
            for at in (0..rows).step_by(at_once) {
                let block = frame.slice(at as i64, at_once.min(rows - at));
                self.pour_block(&block, start + at, sink)?;
            }
        }
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.note.iter().cloned().collect();
        if let Some(name) = &self.labels {
            notes.push(format!("the labels are the column `{name}`"));
        }
        if !self.left_out.is_empty() {
            let out = shown(&self.left_out);
            notes.push(format!(
                "left out beside the lists: {out}; choose columns with --only"
            ));
        }
        notes
    }
}

impl Parquet {
    /// Passes the rows of `frame` on, which start at row `start`.
    fn pour_block(&self, frame: &DataFrame, start: usize, sink: &mut Sink<'_>) -> Result<()> {
        let rows = frame.height();
        let mut at = 0;
        if !self.flat.is_empty() {
            let mut columns = Vec::new();
            for name in &self.flat {
                let column = self.column(frame, name)?;
                self.refuse_empty(&column, name, start)?;
                columns.push(self.doubles(&column, name)?);
            }
            let values: Vec<f64> = (0..rows)
                .flat_map(|row| columns.iter().map(move |column| column[row]))
                .collect();
            pass(&values, self.numbers[at], at, sink)?;
            at += 1;
        }
        for (name, item) in &self.lists {
            let (shape, inner) = self.flattened(&self.column(frame, name)?, name, start)?;
            if shape[1..] != *item {
                return Err(Error::input(format!(
                    "{}: found lists of shape {:?} in column `{name}` at row {start}, expected {item:?} as at row 0; \
                         pad or remove such rows",
                    self.path.display(),
                    &shape[1..]
                )));
            }
            pass(&self.doubles(&inner, name)?, self.numbers[at], at, sink)?;
            at += 1;
        }
        if let Some(name) = &self.labels {
            let words = self.words(&self.column(frame, name)?, name, start)?;
            let labels = words.iter().map(|word| label(word, &self.classes));
            let labels: Vec<i64> = labels.map(|label| label.unwrap_or(-1)).collect();
            sink(at, OutData::I64(&labels))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::ArrowField;

    /// This build of polars cannot write such columns either; its own message names none and says "damaged".
    #[test]
    fn numbers_of_fewer_than_32_bits_are_found_also_in_lists() {
        let list = |inner| {
            let field = ArrowField::new("item".into(), inner, true);
            ArrowDataType::LargeList(Box::new(field))
        };
        for (dtype, expected) in [
            (ArrowDataType::UInt8, Some(("uint8", "int32"))),
            (
                ArrowDataType::FixedSizeBinary(2),
                Some(("float16", "float32")),
            ),
            (list(list(ArrowDataType::Int16)), Some(("int16", "int32"))),
            (list(ArrowDataType::Float32), None),
            (ArrowDataType::UInt64, None),
            (ArrowDataType::Boolean, None),
        ] {
            assert_eq!(narrow(&dtype), expected, "{dtype:?}");
        }
    }
}
