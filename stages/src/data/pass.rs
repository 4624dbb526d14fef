//! Accumulates a digest and the statistics of each part in a pass over all rows.

use super::equal::{EqualRows, Place, keys};
use super::lattice::Values;
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
    /// By part.
    parts: [Accumulator; Part::ALL.len()],
    nan: u64,
    infinite: u64,
    first: Option<(usize, usize)>,
    non_finite_rows: u64,
    /// Rows that are left out, ascending.
    bad_rows: Vec<usize>,
    equal: EqualRows,
    values: Values,
    /// Held-out items of a given part that equal a test item, ascending.
    left_out: Vec<usize>,
    /// Items that move to the part of a duplicate, ascending.
    moved: Vec<(usize, Part)>,
    /// Buffer for the rows of one part of a block.
    rows: Vec<f32>,
    kept: Vec<Range<usize>>,
}

impl Pass {
    pub(super) fn new(reader: &RowReader, covariance: bool) -> Self {
        let mut digest = blake3::Hasher::new();
        for &length in reader.stack.datasets().iter().flat_map(|d| d.shape()) {
            digest.update(&(length as u64).to_le_bytes());
        }
        let accumulate = |part| Accumulator::new(reader.width, covariance && part == Part::Train);
        Self {
            digest,
            figures: Figures {
                parts: Part::ALL.map(accumulate),
                nan: 0,
                infinite: 0,
                first: None,
                non_finite_rows: 0,
                bad_rows: Vec::new(),
                equal: EqualRows::among(reader.stack.items()),
                values: Values::new(reader.width),
                left_out: Vec::new(),
                moved: Vec::new(),
                rows: Vec::new(),
                kept: Vec::new(),
            },
        }
    }

    /// Records the `items` of the given `part` with values `raw` before the pass, so that their
    /// duplicates are recognised. The test part must come first.
    pub(super) fn note_given(
        &mut self,
        reader: &RowReader,
        part: Part,
        items: Range<usize>,
        raw: &[f32],
    ) {
        let figures = &mut self.figures;
        let size = raw.len() / items.len();
        let raw = reader.in_rows(raw);
        for (item, values) in items.zip(raw.chunks_exact(size)) {
            if reader.split.given_part(item) != Some(part)
                || !values.chunks_exact(reader.width).any(is_finite)
            {
                continue;
            }
            let key = keys(values, size)[0];
            if figures.equal.note(key, part, true) == Place::LeftOut {
                figures.left_out.push(item);
            }
        }
    }

    /// Adds the next `items` with values `raw`.
    pub(super) fn add(&mut self, reader: &RowReader, items: Range<usize>, raw: &[f32]) {
        let Self { digest, figures } = self;
        // Both take about equally long.
        rayon::join(
            || digest.update(&little_endian(raw)),
            || figures.add(reader, items, &reader.in_rows(raw)),
        );
    }

    /// Moments of the training rows.
    pub(super) fn moments(&self) -> Moments {
        self.figures.parts[Part::Train as usize].moments()
    }

    /// Rows that contain a value that is not finite or equal a row of a given part, ascending; they count
    /// as left out from here on.
    pub(super) fn take_bad_rows(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.figures.bad_rows)
    }

    /// Items that move to the part of their first duplicate, ascending, with that part.
    pub(super) fn take_moved(&mut self) -> Vec<(usize, Part)> {
        std::mem::take(&mut self.figures.moved)
    }

    /// An error if a value was not finite.
    pub(super) fn refuse_non_finite(&self, reader: &RowReader) -> Result<()> {
        let Some((row, column)) = self.figures.first else {
            return Ok(());
        };
        let each = reader.rows_per_item;
        let (dataset, first_item) = reader.stack.holder(row / each);
        let row = row - first_item * each;
        let (rows, place) = match reader.patches {
            Some(_) => ("patches", format!("in image {}", row / each)),
            None => ("rows", format!("at row {row}, column {column}")),
        };
        Err(Error::input(format!(
            "{} holds {} NaN and {} infinite values in {} {rows}, the first {place}; expected finite numbers. Clean the file, or leave these rows out with `non_finite: drop`",
            dataset.describe(),
            self.figures.nan,
            self.figures.infinite,
            self.figures.non_finite_rows
        )))
    }

    /// The results.
    pub(super) fn scan(&self, width: usize) -> Scan {
        let mut all = Accumulator::new(width, false);
        for part in &self.figures.parts {
            all.merge(part);
        }
        let equal = &self.figures.equal;
        let counted = |count: u64| equal.compares().then_some(count);
        let rows = |part: Part| self.figures.parts[part as usize].rows();
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
            first_non_finite: (self.figures.first).map(|(row, column)| (row as u64, column)),
            dropped_rows: self.figures.non_finite_rows,
            constant_columns: (0..width).filter(constant).collect(),
            train_rows: rows(Part::Train),
            held_out_rows: rows(Part::HeldOut),
            test_rows: rows(Part::Test),
            equal_rows: counted(equal.equal),
            equal_rows_across: counted(equal.across),
            lattice_columns: self.figures.values.lattice(),
        }
    }
}

impl Figures {
    fn add(&mut self, reader: &RowReader, items: Range<usize>, raw: &[f32]) {
        let known = self.bad_rows.len();
        let each = reader.rows_per_item;
        let size = each * reader.width;
        let all_finite = raw.iter().fold(true, |all, v| all & v.is_finite());
        let compared = match self.equal.compares() {
            true => keys(raw, size),
            false => Vec::new(),
        };
        let mut parts = Vec::with_capacity(items.len());
        for (at, item) in items.clone().enumerate() {
            let before = self.bad_rows.len();
            if !all_finite {
                self.note_bad_rows(item * each, &raw[at * size..(at + 1) * size], reader.width);
            }
            let part = reader.split.part(item);
            let whole = self.bad_rows.len() - before < each;
            let place = match (reader.split.given_part(item), compared.get(at)) {
                (Some(_), _) if self.left_out.binary_search(&item).is_ok() => Place::LeftOut,
                (None, Some(&key)) if whole => self.equal.note(key, part, false),
                _ => Place::Stays,
            };
            match place {
                Place::Stays => parts.push(part),
                Place::Moves(to) => {
                    self.moved.push((item, to));
                    parts.push(to);
                }
                Place::LeftOut => {
                    self.bad_rows.truncate(before);
                    self.bad_rows.extend(item * each..(item + 1) * each);
                    parts.push(part);
                }
            }
        }
        let first_row = items.start * each;
        for (part, figures) in Part::ALL.into_iter().zip(&mut self.parts) {
            let bad = &self.bad_rows[known..];
            let of_part = |item: usize| parts[item - items.start] == part;
            reader.keep(items.clone(), of_part, bad, &mut self.kept);
            self.rows.clear();
            for run in &self.kept {
                let values = run.start - first_row..run.end - first_row;
                self.rows.extend_from_slice(
                    &raw[values.start * reader.width..values.end * reader.width],
                );
            }
            figures.add(&self.rows);
            self.values.add(&self.rows);
        }
    }

    fn note_bad_rows(&mut self, first_row: usize, raw: &[f32], width: usize) {
        for (row, values) in (first_row..).zip(raw.chunks_exact(width)) {
            let Some(column) = values.iter().position(|v| !v.is_finite()) else {
                continue;
            };
            self.first.get_or_insert((row, column));
            self.nan += values.iter().filter(|v| v.is_nan()).count() as u64;
            self.infinite += values.iter().filter(|v| v.is_infinite()).count() as u64;
            self.non_finite_rows += 1;
            self.bad_rows.push(row);
        }
    }
}

fn is_finite(row: &[f32]) -> bool {
    row.iter().all(|v| v.is_finite())
}

/// The bytes of `values` in the order used for digests.
fn little_endian(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(values))
    } else {
        Cow::Owned(values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }
}
