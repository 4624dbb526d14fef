//! What the one pass over all rows collects: a digest, and figures of each part of the split.

use super::dataset::Dataset;
use super::moments::{Accumulator, Moments};
use super::rows::RowReader;
use super::scan::Scan;
use super::split::Part;
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::ops::Range;

/// The state of the pass.
pub(super) struct Pass {
    digest: blake3::Hasher,
    figures: Figures,
}

struct Figures {
    train: Accumulator,
    held_out: Accumulator,
    nan: u64,
    infinite: u64,
    first: Option<(u64, usize)>,
    bad_rows: Vec<usize>,
    /// Memory for the rows of one part of a block.
    rows: Vec<f32>,
    kept: Vec<Range<usize>>,
}

impl Pass {
    pub(super) fn new(width: usize, covariance: bool, shape: &[usize]) -> Self {
        let mut digest = blake3::Hasher::new();
        for &length in shape {
            digest.update(&(length as u64).to_le_bytes());
        }
        Self {
            digest,
            figures: Figures {
                train: Accumulator::new(width, covariance),
                held_out: Accumulator::new(width, false),
                nan: 0,
                infinite: 0,
                first: None,
                bad_rows: Vec::new(),
                rows: Vec::new(),
                kept: Vec::new(),
            },
        }
    }

    /// Adds the next `items`, whose values are `raw`.
    pub(super) fn add(&mut self, reader: &RowReader, items: Range<usize>, raw: &[f32]) {
        let Self { digest, figures } = self;
        // Both take about as long.
        rayon::join(
            || digest.update(&little_endian(raw)),
            || figures.add(reader, items, raw),
        );
    }

    /// Moments of the training rows.
    pub(super) fn moments(&self) -> Moments {
        self.figures.train.moments()
    }

    /// Rows that hold a value that is not finite, ascending; they count as left out from here on.
    pub(super) fn take_bad_rows(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.figures.bad_rows)
    }

    /// An error if a value was not finite.
    pub(super) fn refuse_non_finite(&self, dataset: &Dataset) -> Result<()> {
        let Some((row, column)) = self.figures.first else {
            return Ok(());
        };
        Err(Error::input(format!(
            "{} holds {} NaN and {} infinite values in {} rows, the first at row {row}, column {column}; expected finite numbers. Clean the file, or leave these rows out with `non_finite: drop`",
            dataset.describe(),
            self.figures.nan,
            self.figures.infinite,
            self.figures.bad_rows.len()
        )))
    }

    /// What was found; `dropped_rows` of the rows were left out.
    pub(super) fn scan(&self, width: usize, dropped_rows: u64) -> Scan {
        let mut all = Accumulator::new(width, false);
        all.merge(&self.figures.train);
        all.merge(&self.figures.held_out);
        let moments = all.moments();
        let constant = |&c: &usize| all.rows() > 0 && all.min()[c] == all.max()[c];
        Scan {
            digest: self.digest.finalize().to_hex().to_string(),
            rows: all.rows(),
            width,
            mean: moments.mean,
            std: moments.variance.iter().map(|v| v.sqrt()).collect(),
            min: all.min().to_vec(),
            max: all.max().to_vec(),
            nan: self.figures.nan,
            infinite: self.figures.infinite,
            first_non_finite: self.figures.first,
            dropped_rows,
            constant_columns: (0..width).filter(constant).collect(),
            train_rows: self.figures.train.rows(),
            held_out_rows: self.figures.held_out.rows(),
        }
    }
}

impl Figures {
    fn add(&mut self, reader: &RowReader, items: Range<usize>, raw: &[f32]) {
        let known = self.bad_rows.len();
        let first_row = items.start * reader.rows_per_item;
        if !raw.iter().fold(true, |all, v| all & v.is_finite()) {
            self.note_bad_rows(first_row, raw, reader.width);
        }
        for (part, figures) in [
            (Part::Train, &mut self.train),
            (Part::HeldOut, &mut self.held_out),
        ] {
            let bad = &self.bad_rows[known..];
            reader.keep(items.clone(), part, bad, &mut self.kept);
            self.rows.clear();
            for run in &self.kept {
                let values = run.start - first_row..run.end - first_row;
                self.rows.extend_from_slice(
                    &raw[values.start * reader.width..values.end * reader.width],
                );
            }
            figures.add(&self.rows);
        }
    }

    fn note_bad_rows(&mut self, first_row: usize, raw: &[f32], width: usize) {
        for (row, values) in (first_row..).zip(raw.chunks_exact(width)) {
            let Some(column) = values.iter().position(|v| !v.is_finite()) else {
                continue;
            };
            self.first.get_or_insert((row as u64, column));
            self.nan += values.iter().filter(|v| v.is_nan()).count() as u64;
            self.infinite += values.iter().filter(|v| v.is_infinite()).count() as u64;
            self.bad_rows.push(row);
        }
    }
}

/// The bytes of `values` in the order that digests are of.
fn little_endian(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(values))
    } else {
        Cow::Owned(values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }
}
