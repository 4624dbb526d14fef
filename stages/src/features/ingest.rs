//! One full pass over the features before anything trains: count, check, split, moments.

use super::ahead::each_block;
use super::config::{NonFinite, SourceConfig};
use super::dataset::Dataset;
use super::moments::Moments;
use super::pass::Pass;
use super::rows::{RowBlock, RowReader, RowView};
use super::scan::Scan;
use super::split::{Part, Split};
use crate::context::Monitor;
use crate::error::{Error, Result};
use std::path::Path;
use std::sync::Arc;

/// Bytes of f32 read at once; small beside any memory budget, large beside a chunk.
const BLOCK_BYTES: usize = 4 << 20;

/// A dataset that was read once from end to end and found good.
#[derive(Debug, Clone)]
pub struct Ingest {
    /// The dataset.
    pub dataset: Dataset,
    /// How its items become rows.
    pub view: RowView,
    /// Which items are held out.
    pub split: Split,
    /// What the pass found.
    pub scan: Scan,
    /// Moments of the training rows.
    pub moments: Moments,
    /// Rows left out because they are not finite, ascending.
    pub dropped: Arc<Vec<usize>>,
    pub(super) reader: RowReader,
}

impl Ingest {
    /// Reads all of `source` once, in bounded memory, and computes the moments of the training rows
    /// (`covariance` adds [D, D] numbers and N D^2 operations). Progress is reported as task `scan`,
    /// in items.
    ///
    /// # Errors
    /// Everything [`Dataset::open`] refuses; values that are not finite under
    /// [`NonFinite::Refuse`]; a part of the split left without rows; [`Error::Cancelled`].
    pub fn read(
        source: &SourceConfig,
        view: RowView,
        split: Split,
        covariance: bool,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        let dataset = Dataset::open(source)?;
        let mut reader = RowReader::new(dataset, view, split)?;
        let mut pass = Pass::new(reader.width, covariance, reader.dataset.shape());
        let total = reader.dataset.items() as u64;
        let blocks = reader.dataset.blocks(BLOCK_BYTES);
        each_block(&reader.dataset, &blocks, |items, raw| {
            if monitor.cancelled() {
                return Err(Error::Cancelled);
            }
            let done = items.end as u64;
            pass.add(&reader, items, raw);
            monitor.progress("scan", done, total, "");
            Ok(())
        })?;
        if source.non_finite == NonFinite::Refuse {
            pass.refuse_non_finite(&reader.dataset)?;
        }
        reader.dropped = Arc::new(pass.take_bad_rows());
        let scan = pass.scan(reader.width, reader.dropped.len() as u64);
        refuse_empty_part(&reader, &scan)?;
        Ok(Self {
            dataset: reader.dataset.clone(),
            view,
            split,
            scan,
            moments: pass.moments(),
            dropped: reader.dropped.clone(),
            reader,
        })
    }

    /// As [`Self::read`] of `dataset` in `file`, to look at it: nothing is held out, and rows with values
    /// that are not finite are counted and left out, not refused.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn survey(
        file: &Path,
        dataset: &str,
        view: RowView,
        covariance: bool,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        let source = SourceConfig {
            file: file.to_owned(),
            dataset: dataset.trim_start_matches('/').to_owned(),
            non_finite: NonFinite::Drop,
        };
        Self::read(&source, view, Split::new(0, 0.0), covariance, monitor)
    }

    /// Refuses data with fewer training rows than a batch, or fewer than two held-out rows; `key` is
    /// where the batch is configured.
    ///
    /// # Errors
    /// Input errors.
    pub fn require_batch(&self, batch: usize, key: &str) -> Result<()> {
        let Scan {
            train_rows,
            held_out_rows,
            ..
        } = self.scan;
        if train_rows >= batch as u64 && held_out_rows >= 2 {
            return Ok(());
        }
        Err(Error::input(format!(
            "{}: found {train_rows} training rows and {held_out_rows} held-out rows, expected at least \
             one batch ({batch}) and 2 held-out rows; give more data, or lower {key}",
            self.dataset.describe(),
        )))
    }

    /// Writes what the pass found into `dir` as `scan.json`.
    ///
    /// # Errors
    /// File errors.
    pub fn write_scan(&self, dir: &Path) -> Result<()> {
        self.scan.write(dir)
    }

    /// Width of a row.
    pub fn width(&self) -> usize {
        self.reader.width
    }

    /// Rows an item: T for tokens [N, T, D], otherwise 1.
    pub fn rows_per_item(&self) -> usize {
        self.reader.rows_per_item
    }

    /// Rows of `part`.
    pub fn part_rows(&self, part: Part) -> usize {
        match part {
            Part::Train => self.scan.train_rows as usize,
            Part::HeldOut => self.scan.held_out_rows as usize,
        }
    }

    /// Up to `at_most` held-out rows, raw, in file order: all of them, or an even spread over the
    /// file. Row-major [n, width].
    ///
    /// # Errors
    /// As [`Dataset::read_items`].
    pub fn held_out_rows(&self, at_most: usize) -> Result<Vec<f32>> {
        self.some_rows(Part::HeldOut, at_most)
    }

    /// As [`Self::held_out_rows`], of either part.
    ///
    /// # Errors
    /// As [`Dataset::read_items`].
    pub fn some_rows(&self, part: Part, at_most: usize) -> Result<Vec<f32>> {
        Ok(self.some_rows_of_items(part, at_most)?.rows)
    }

    /// As [`Self::some_rows`], with the item of each row.
    ///
    /// # Errors
    /// As [`Dataset::read_items`].
    pub fn some_rows_of_items(&self, part: Part, at_most: usize) -> Result<RowBlock> {
        let (total, width) = (self.part_rows(part), self.width());
        let wanted = at_most.min(total);
        let position = |k: usize| (k as u128 * total as u128 / wanted as u128) as usize;
        let mut found = RowBlock::default();
        found.rows.reserve(wanted * width);
        let (mut next, mut seen) = (0, 0);
        for items in self.dataset.blocks(BLOCK_BYTES) {
            if next == wanted {
                break;
            }
            let here = self.reader.count(items.clone(), part);
            // Blocks without a wanted row are not read at all.
            if position(next) < seen + here {
                let block = self.reader.read(items, part)?;
                while next < wanted && position(next) < seen + here {
                    let row = position(next) - seen;
                    found.items.push(block.items[row]);
                    let values = &block.rows[row * width..(row + 1) * width];
                    found.rows.extend_from_slice(values);
                    next += 1;
                }
            }
            seen += here;
        }
        Ok(found)
    }

    /// Calls `f` with all rows of `part` in file order, in bounded blocks: the item of each row
    /// (under [`RowView::Items`] these are the item ids, once each), and the raw rows, row-major
    /// [ids.len(), width]. Tokens of one item always come in one block.
    ///
    /// # Errors
    /// As [`Dataset::read_items`], and whatever `f` returns.
    #[allow(clippy::type_complexity)] // Spelt out, it says what a caller gets.
    pub fn for_each_block(
        &self,
        part: Part,
        f: &mut dyn FnMut(&[usize], &[f32]) -> Result<()>,
    ) -> Result<()> {
        for items in self.dataset.blocks(BLOCK_BYTES) {
            let block = self.reader.read(items, part)?;
            if !block.items.is_empty() {
                f(&block.items, &block.rows)?;
            }
        }
        Ok(())
    }
}

fn refuse_empty_part(reader: &RowReader, scan: &Scan) -> Result<()> {
    let place = reader.dataset.describe();
    if scan.rows == 0 {
        return Err(Error::input(format!(
            "{place}: every row holds NaN or an infinity, so none is left; expected at least 2 finite rows"
        )));
    }
    let fraction = reader.split.fraction();
    if scan.train_rows == 0 || (fraction > 0.0 && scan.held_out_rows == 0) {
        return Err(Error::input(format!(
            "{place}: holding out {fraction} of {} items leaves {} rows to train on and {} held out; expected some of each. Use more rows, or another `held_out.fraction` or seed",
            reader.dataset.items(),
            scan.train_rows,
            scan.held_out_rows
        )));
    }
    Ok(())
}
