//! Learning curves and tables as Parquet.
//!
//! `metrics.parquet` is rewritten as a whole while a stage runs, by a rename, so that readers never
//! see a partial file.

use latent_align_hdf5::temporary;
use latent_align_stages::context::{Column, Table};
use latent_align_stages::figures::curves::STEP;
use latent_align_stages::{Error, Result};
use polars::prelude::{
    BatchedWriter, DataFrame, IntoColumn as _, KeyValueMetadata, NamedFrom as _,
    ParquetCompression, ParquetReader, ParquetWriter, PolarsResult, SerReader as _, Series,
};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest time until new rows are written, unless writing is slow.
const INTERVAL: Duration = Duration::from_secs(2);

/// The rows so far.
pub struct Metrics {
    file: PathBuf,
    steps: Vec<i64>,
    /// A column per name in order of first appearance, each as long as `steps`.
    columns: Vec<(String, Vec<Option<f64>>)>,
    written: usize,
    next: Instant,
}

impl Metrics {
    /// No rows; the file is written with the first row.
    pub fn new(file: PathBuf) -> Self {
        Self {
            file,
            steps: Vec::new(),
            columns: Vec::new(),
            written: 0,
            next: Instant::now(),
        }
    }

    /// Appends a row, and rewrites the file if due.
    pub fn add(&mut self, step: u64, row: &[(&'static str, f64)]) -> Result<()> {
        self.steps.push(i64::try_from(step).unwrap_or(i64::MAX));
        let rows = self.steps.len();
        for &(name, value) in row {
            let at = match self.columns.iter().position(|c| c.0 == name) {
                Some(at) => at,
                None => {
                    self.columns.push((name.to_owned(), Vec::new()));
                    self.columns.len() - 1
                }
            };
            let values = &mut self.columns[at].1;
            values.resize(rows - 1, None);
            values.push(Some(value));
        }
        for (_, values) in &mut self.columns {
            values.resize(rows, None);
        }
        if Instant::now() >= self.next {
            self.write()?;
        }
        Ok(())
    }

    /// Writes all rows to `file`; nothing if there are none.
    pub fn write_to(&self, file: &Path) -> Result<()> {
        if self.steps.is_empty() {
            return Ok(());
        }
        let mut columns = vec![Series::new(STEP.into(), &self.steps).into_column()];
        for (name, values) in &self.columns {
            columns.push(Series::new(name.into(), values).into_column());
        }
        write_frame(file, DataFrame::new(self.steps.len(), columns))
    }

    /// Replaces the rows by those that [`Self::write_to`] wrote to `file`.
    pub fn restore(&mut self, file: &Path) -> Result<()> {
        let failed = |e: &dyn std::fmt::Display| Error::file(file, e);
        let open = File::open(file).map_err(|e| failed(&e))?;
        let frame = ParquetReader::new(open).finish().map_err(|e| failed(&e))?;
        self.columns.clear();
        for column in frame.columns() {
            if column.name() == STEP {
                let steps = column.i64().map_err(|e| failed(&e))?;
                self.steps = steps.into_no_null_iter().collect();
            } else {
                let values = column.f64().map_err(|e| failed(&e))?;
                let values = values.iter().collect();
                self.columns.push((column.name().to_string(), values));
            }
        }
        self.written = 0;
        Ok(())
    }

    /// Rewrites the file if it lacks rows.
    pub fn write(&mut self) -> Result<()> {
        if self.written == self.steps.len() {
            return Ok(());
        }
        let started = Instant::now();
        self.write_to(&self.file)?;
        self.written = self.steps.len();
        // Writing must take only a small share of the training time.
        self.next = Instant::now() + INTERVAL.max(started.elapsed() * 50);
        Ok(())
    }
}

/// Writes `table` to `file`.
///
/// # Errors
/// [`Error::File`] if the columns differ in length or writing fails.
pub fn write_table(file: &Path, table: &Table) -> Result<()> {
    write_frame(file, frame(table))
}

/// `table` as a polars data frame.
fn frame(table: &Table) -> PolarsResult<DataFrame> {
    let height = table.columns.first().map_or(0, |c| length(&c.1));
    let columns = table
        .columns
        .iter()
        .map(|(name, column)| {
            let name = name.as_str().into();
            match column {
                Column::Float(values) => Series::new(name, values),
                Column::Int(values) => Series::new(name, values),
                Column::Text(values) => Series::new(name, values),
            }
            .into_column()
        })
        .collect();
    DataFrame::new(height, columns)
}

/// A table larger than memory, written in batches of rows.
pub struct TableWriter {
    file: PathBuf,
    about: Vec<(String, String)>,
    /// Set by the first rows, which determine the columns.
    writer: Option<BatchedWriter<BufWriter<File>>>,
}

impl TableWriter {
    /// A new file with `about` in its metadata; `file` must not exist.
    pub fn create(file: &Path, about: &[(&str, String)]) -> Self {
        let about = about.iter();
        Self {
            file: file.to_owned(),
            about: about
                .map(|(name, text)| (format!("latent_align.{name}"), text.clone()))
                .collect(),
            writer: None,
        }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// [`Error::File`] if the columns differ in length, or from earlier rows, or writing fails.
    pub fn append(&mut self, rows: &Table) -> Result<()> {
        let failed = |e: &dyn std::fmt::Display| Error::file(&self.file, e);
        let frame = frame(rows).map_err(|e| failed(&e))?;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let out = File::create_new(&self.file).map_err(|e| failed(&e))?;
                let about = KeyValueMetadata::from_static(std::mem::take(&mut self.about));
                let writer = ParquetWriter::new(BufWriter::new(out))
                    .with_compression(ParquetCompression::Uncompressed)
                    .set_parallel(false)
                    .with_key_value_metadata(Some(about))
                    .batched(frame.schema());
                none.insert(writer.map_err(|e| failed(&e))?)
            }
        };
        writer.write_batch(&frame).map_err(|e| failed(&e))
    }

    /// Finishes the file.
    ///
    /// # Errors
    /// [`Error::File`] if there were no rows, or writing fails.
    pub fn finish(self) -> Result<()> {
        let failed = |e: &dyn std::fmt::Display| Error::file(&self.file, e);
        let writer = (self.writer.as_ref()).ok_or_else(|| failed(&"there are no rows"))?;
        writer.finish().map_err(|e| failed(&e))?;
        Ok(())
    }
}

fn length(column: &Column) -> usize {
    match column {
        Column::Float(values) => values.len(),
        Column::Int(values) => values.len(),
        Column::Text(values) => values.len(),
    }
}

fn write_frame(file: &Path, frame: PolarsResult<DataFrame>) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Error::file(file, e);
    let mut frame = frame.map_err(|e| failed(&e))?;
    let temporary = temporary::beside(file);
    let out = File::create_new(&temporary).map_err(|e| failed(&e))?;
    let mut out = BufWriter::new(out);
    ParquetWriter::new(&mut out)
        .with_compression(ParquetCompression::Uncompressed)
        .set_parallel(false)
        .finish(&mut frame)
        .map_err(|e| failed(&e))?;
    out.flush().map_err(|e| failed(&e))?;
    std::fs::rename(&temporary, file).map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &Path) -> DataFrame {
        ParquetReader::new(File::open(file).unwrap())
            .finish()
            .unwrap()
    }

    #[test]
    fn rows_with_different_names_share_one_table() {
        let dir = tempfile::tempdir().unwrap();
        let mut metrics = Metrics::new(dir.path().join("metrics.parquet"));
        metrics.add(1, &[("loss", 2.0)]).unwrap();
        metrics.add(2, &[("loss", 1.0), ("held_out", 1.5)]).unwrap();
        metrics.add(3, &[]).unwrap();
        metrics.write().unwrap();
        let frame = read(&dir.path().join("metrics.parquet"));
        assert_eq!(frame.shape(), (3, 3));
        let held_out = frame.column("held_out").unwrap();
        assert_eq!(held_out.null_count(), 2);
        let losses = frame.column("loss").unwrap().f64().unwrap();
        assert_eq!(losses.get(1), Some(1.0));
        assert_eq!(dir.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn restored_rows_are_written_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let [kept, whole, resumed] = ["kept", "whole", "resumed"].map(|n| dir.path().join(n));
        let mut metrics = Metrics::new(whole.clone());
        metrics
            .add(1, &[("loss", 0.1), ("held_out", f64::NAN)])
            .unwrap();
        metrics.add(2, &[("loss", 1.0 / 3.0)]).unwrap();
        metrics.write_to(&kept).unwrap();
        let mut again = Metrics::new(resumed.clone());
        again.restore(&kept).unwrap();
        for metrics in [&mut metrics, &mut again] {
            metrics
                .add(3, &[("held_out", 5.0), ("rate", 1e-3)])
                .unwrap();
            metrics.write().unwrap();
        }
        assert_eq!(
            std::fs::read(whole).unwrap(),
            std::fs::read(resumed).unwrap()
        );
    }

    #[test]
    fn the_first_row_is_written_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut metrics = Metrics::new(dir.path().join("metrics.parquet"));
        metrics.add(1, &[("loss", 2.0)]).unwrap();
        assert_eq!(read(&dir.path().join("metrics.parquet")).height(), 1);
    }

    #[test]
    fn a_table_written_in_parts_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("scores.parquet");
        let mut writer = TableWriter::create(&file, &[("units", "nats".to_owned())]);
        let rows = |from: i64, to: i64| {
            let mut table = Table::default();
            table.int("point", (from..to).collect());
            table.float("nll", (from..to).map(|i| i as f64 / 3.0).collect());
            table
        };
        for (from, to) in [(0, 5), (5, 6), (6, 20)] {
            writer.append(&rows(from, to)).unwrap();
        }
        writer.finish().unwrap();
        let frame = read(&file);
        assert_eq!(frame.shape(), (20, 2));
        let points = frame.column("point").unwrap().i64().unwrap();
        let points: Vec<i64> = points.into_no_null_iter().collect();
        assert_eq!(points, Vec::from_iter(0..20));
        let bytes = std::fs::read(&file).unwrap();
        let holds = |text: &[u8]| bytes.windows(text.len()).any(|found| found == text);
        assert!(holds(b"latent_align.units") && holds(b"nats"));
        assert!(TableWriter::create(&file, &[]).append(&rows(0, 1)).is_err());
    }

    #[test]
    fn a_table_keeps_its_types() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("points.parquet");
        let mut table = Table::default();
        table
            .float("nll", vec![1.0, f64::NAN])
            .int("index", vec![0, 1])
            .text("region", vec!["grid".into(), "latents".into()]);
        write_table(&file, &table).unwrap();
        let frame = read(&file);
        assert_eq!(
            frame.column("index").unwrap().i64().unwrap().get(1),
            Some(1)
        );
        assert_eq!(
            frame.column("region").unwrap().str().unwrap().get(0),
            Some("grid")
        );
        table.int("short", vec![1]);
        assert!(write_table(&file, &table).is_err());
    }
}
