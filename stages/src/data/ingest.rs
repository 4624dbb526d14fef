//! A full pass over the features before training: counts, checks, split, moments.

use super::config::{NonFinite, PartConfig, SourceConfig};
use super::files::Files;
use super::lattice;
use super::moments::Moments;
use super::parts;
use super::pass::Pass;
use super::patches::Patches;
use super::rows::{RowBlock, RowReader, RowView};
use super::scan::Scan;
use super::scanned::{self, Scanned};
use super::split::{Part, Split};
use crate::context::Monitor;
use crate::error::{Error, Result};
use crate::tensors::spread_indices;
use latent_align_hdf5::{Dataset, Stack, each_block};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Bytes of f32 read at once for rows that are further apart than a block.
const FEW_BYTES: usize = 1 << 16;

/// Bytes of f32 read at once; small compared with any memory budget, large compared with a chunk.
const BLOCK_BYTES: usize = 4 << 20;

static SCANNED: Scanned<Ingest> = Scanned::none();

/// A dataset that was read once completely and validated.
#[derive(Debug, Clone)]
pub struct Ingest {
    /// The training dataset.
    pub dataset: Dataset,
    /// How its items become rows.
    pub view: RowView,
    /// The part of each item.
    pub split: Split,
    /// Results of the pass.
    pub scan: Scan,
    /// Moments of the training rows.
    pub moments: Moments,
    /// Rows left out because they are not finite or equal a row of a given part; ascending.
    pub dropped: Arc<Vec<usize>>,
    pub(super) reader: RowReader,
}

impl Ingest {
    /// Reads all of `source` once, with the split `split`; see [`Self::read_parts`].
    ///
    /// # Errors
    /// As [`Self::read_parts`].
    pub fn read(
        source: &SourceConfig,
        view: RowView,
        split: Split,
        covariance: bool,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        let stack = Stack::of(source.open()?);
        Self::scan(stack, split, view, source.non_finite, covariance, monitor)
    }

    /// Reads all of `source`, and of the datasets named by `held_out` and `test`, once, and computes the
    /// moments of the training rows (`covariance` adds [D, D] numbers and N D^2 operations). Takes 10 to 30
    /// bytes per item besides a few blocks of rows. Random shares are keyed by `seed`. Items of separate
    /// datasets are numbered after those of `source`, held-out ones first. Progress is reported as task
    /// `scan`, in items; duplicate rows give a warning. What this process has scanned before, from unchanged files, is
    /// not scanned again.
    ///
    /// # Errors
    /// Errors of [`Dataset::open`]; parts that do not match the data or each other; values that are not
    /// finite under [`NonFinite::Refuse`]; an empty part; [`Error::Cancelled`].
    pub fn read_parts(
        source: &SourceConfig,
        view: RowView,
        seed: u64,
        [held_out, test]: [&PartConfig; 2],
        covariance: bool,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        let (stack, split) = parts::resolve(source, seed, held_out, test)?;
        let pass = scanned::Pass::of(source, view, seed, [held_out, test], covariance);
        if let Some(found) = pass.as_ref().and_then(|pass| SCANNED.found(pass)) {
            found.warn_of_equal_rows(monitor);
            return Ok(found);
        }
        let found = Self::scan(stack, split, view, source.non_finite, covariance, monitor)?;
        if let Some(pass) = pass {
            SCANNED.remember(pass, &found);
        }
        Ok(found)
    }

    fn scan(
        stack: Stack,
        split: Split,
        view: RowView,
        non_finite: NonFinite,
        covariance: bool,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        let mut reader = RowReader::new(stack, view, split)?;
        let mut pass = Pass::new(&reader, covariance);
        let total = reader.stack.items() as u64;
        let blocks = reader.stack.blocks(BLOCK_BYTES);
        for part in [Part::Test, Part::HeldOut] {
            if !reader.split.is_given(part) {
                continue;
            }
            let given = |item| reader.split.given_part(item) == Some(part);
            let holding = blocks.iter().filter(|b| (*b).clone().any(&given));
            let holding: Vec<_> = holding.cloned().collect();
            each_block(&reader.stack, &holding, |items, raw| {
                if monitor.cancelled() {
                    return Err(Error::Cancelled);
                }
                pass.note_given(&reader, part, items, raw);
                Ok(())
            })?;
        }
        each_block(&reader.stack, &blocks, |items, raw| {
            if monitor.cancelled() {
                return Err(Error::Cancelled);
            }
            let done = items.end as u64;
            pass.add(&reader, items, raw);
            monitor.progress("scan", done, total, "");
            Ok(())
        })?;
        if non_finite == NonFinite::Refuse {
            pass.refuse_non_finite(&reader)?;
        }
        reader.dropped = Arc::new(pass.take_bad_rows());
        reader.split = reader.split.with_moved(pass.take_moved());
        let scan = pass.scan(reader.width);
        refuse_empty_part(&reader, &scan)?;
        let found = Self {
            dataset: reader.stack.first().clone(),
            view,
            split: reader.split.clone(),
            scan,
            moments: pass.moments(),
            dropped: reader.dropped.clone(),
            reader,
        };
        found.warn_of_equal_rows(monitor);
        Ok(found)
    }

    /// Warns about duplicate rows if there are held-out or test rows.
    fn warn_of_equal_rows(&self, monitor: &dyn Monitor) {
        let (held_out, test) = self.split.shares();
        if held_out + test == 0.0 && !self.split.has_given() {
            return;
        }
        let place = self.dataset.describe();
        let (Some(equal), Some(across)) = (self.scan.equal_rows, self.scan.equal_rows_across)
        else {
            return monitor.warn(&format!(
                "{place}: too many rows to look for equal ones, which may be in several parts of the split"
            ));
        };
        if equal == 0 {
            return;
        }
        let split = match (across, self.split.has_given()) {
            (0, _) => "all are in the same part of the split".to_owned(),
            (some, false) => format!(
                "{some} of them were drawn for another part of the split and moved to that of the first"
            ),
            (some, true) => format!(
                "{some} of them were of another part of the split and moved to that of the first, \
                 or left out if that part is given explicitly"
            ),
        };
        let total = self.reader.stack.items();
        monitor.warn(&format!(
            "{place}: {equal} of {total} rows equal an earlier one; {split}"
        ));
    }

    /// How items are cut, if they are images cut into patches.
    pub fn patches(&self) -> Option<Patches> {
        self.reader.patches
    }

    /// Warns if features whose density is to be learnt lie on a lattice.
    pub fn warn_of_lattice(&self, monitor: &dyn Monitor) {
        if let Some(told) = lattice::warning(&self.scan, &self.dataset.describe()) {
            monitor.warn(&told);
        }
    }

    /// The same with whole items as rows [N, T * D] with item numbers; items with an omitted token are left
    /// out. The moments remain those of tokens.
    ///
    /// # Errors
    /// An input error if a part is empty.
    pub fn by_items(&self) -> Result<Self> {
        let tokens = self.rows_per_item();
        let mut dropped: Vec<usize> = self.dropped.iter().map(|row| row / tokens).collect();
        dropped.dedup();
        let mut reader = self.reader.clone();
        reader.width *= tokens;
        reader.rows_per_item = 1;
        reader.dropped = Arc::new(dropped);
        let items = 0..reader.stack.items();
        let count = |part| reader.count(items.clone(), part) as u64;
        let mut scan = self.scan.clone();
        [scan.train_rows, scan.held_out_rows, scan.test_rows] =
            [Part::Train, Part::HeldOut, Part::Test].map(count);
        scan.rows = scan.train_rows + scan.held_out_rows + scan.test_rows;
        refuse_empty_part(&reader, &scan)?;
        Ok(Self {
            view: RowView::Items,
            dropped: reader.dropped.clone(),
            scan,
            reader,
            ..self.clone()
        })
    }

    /// The training dataset and separate held-out and test datasets, with consecutive items.
    pub fn datasets(&self) -> &[Dataset] {
        self.reader.stack.datasets()
    }

    /// The part whose figures are shown: the test part, or the held-out part if there is no test part.
    pub fn reported(&self) -> Part {
        match self.scan.test_rows {
            0 => Part::HeldOut,
            _ => Part::Test,
        }
    }

    /// The held-out and test parts; the one to show is last.
    pub fn unseen(&self) -> &'static [Part] {
        match self.reported() {
            Part::Test => &[Part::HeldOut, Part::Test],
            _ => &[Part::HeldOut],
        }
    }

    /// Warns if figures are of rows used for selection, because there is no test part.
    pub fn warn_of_no_test(&self, monitor: &dyn Monitor) {
        if self.reported() != Part::Test {
            monitor.warn(
                "there is no test part (`test: {fraction: 0}`): figures are of held-out rows, \
                 which also select checkpoints and trials of sweeps, and are better than those of \
                 new rows",
            );
        }
    }

    /// As [`Self::read`] of `dataset` in `files`, for inspection: nothing is held out, and rows with values
    /// that are not finite are counted and left out instead of refused.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn survey(
        files: &Files,
        dataset: &str,
        view: RowView,
        covariance: bool,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        let source = SourceConfig {
            file: files.clone(),
            dataset: dataset.trim_start_matches('/').to_owned(),
            non_finite: NonFinite::Drop,
        };
        Self::read(&source, view, Split::new(0, 0.0), covariance, monitor)
    }

    /// Refuses data with fewer training rows than a batch, or fewer than two held-out or test rows; `key` is
    /// the key of the batch size.
    ///
    /// # Errors
    /// Input errors.
    pub fn require_batch(&self, batch: usize, key: &str) -> Result<()> {
        let Scan {
            train_rows,
            held_out_rows,
            test_rows,
            ..
        } = self.scan;
        if train_rows >= batch as u64 && held_out_rows >= 2 && test_rows != 1 {
            return Ok(());
        }
        Err(Error::input(format!(
            "{}: found {train_rows} training rows, {held_out_rows} held-out rows and {test_rows} test rows, \
             expected at least one batch ({batch}), 2 held-out rows and 2 test rows; give more data, lower \
             {key}, or go without a test part (`test: {{fraction: 0}}`): figures are then of held-out rows",
            self.dataset.describe(),
        )))
    }

    /// Writes the results of the pass into `dir` as `scan.json`.
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

    /// Rows per item: T for tokens [N, T, D], otherwise 1.
    pub fn rows_per_item(&self) -> usize {
        self.reader.rows_per_item
    }

    /// Number of rows of `part`.
    pub fn part_rows(&self, part: Part) -> usize {
        match part {
            Part::Train => self.scan.train_rows as usize,
            Part::HeldOut => self.scan.held_out_rows as usize,
            Part::Test => self.scan.test_rows as usize,
        }
    }

    /// Up to `at_most` raw rows of `part`, in file order: all, or evenly spaced ones. Row-major [n, width].
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
        for items in self.blocks_for(wanted) {
            if next == wanted {
                break;
            }
            let here = self.reader.count(items.clone(), part);
            // Blocks without a wanted row are not read.
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

    /// Blocks to read for `wanted` rows spread over all items. Of rows far apart, blocks of a whole pass would read
    /// a hundred times as much as is wanted.
    fn blocks_for(&self, wanted: usize) -> Vec<Range<usize>> {
        let stack = &self.reader.stack;
        let bytes = stack.items() * stack.item_width() * size_of::<f32>();
        stack.blocks(block_bytes(bytes, wanted))
    }

    /// Up to `at_most` raw rows of `part`, as items with all their tokens, in file order: all, or evenly
    /// spaced ones (at least one item). Items with an omitted row are left out.
    ///
    /// # Errors
    /// As [`Dataset::read_items`]; an input error if no item has all its tokens.
    pub fn some_whole_items(&self, part: Part, at_most: usize) -> Result<RowBlock> {
        let tokens = self.rows_per_item();
        if tokens == 1 {
            return self.some_rows_of_items(part, at_most);
        }
        let is_whole = |item: usize| {
            self.split.part(item) == part && self.reader.dropped_in(&(item..item + 1)).is_empty()
        };
        // counted first: a list of all would take 8 bytes per item
        let whole = || (0..self.reader.stack.items()).filter(|&item| is_whole(item));
        let count = whole().count();
        if count == 0 {
            return Err(Error::input(format!(
                "{}: found no {} item of which all {tokens} tokens are finite, expected some; clean the file",
                self.dataset.describe(),
                part.word()
            )));
        }
        let wanted = (at_most / tokens).clamp(1, count);
        let mut places = spread_indices(count, wanted).peekable();
        let chosen = whole().enumerate();
        let chosen = chosen.filter(|(at, _)| places.next_if_eq(at).is_some());
        let mut chosen = chosen.map(|(_, item)| item).take(wanted).peekable();
        let mut found = RowBlock::default();
        for items in self.blocks_for(wanted) {
            if chosen.peek().is_none_or(|&item| item >= items.end) {
                continue;
            }
            let block = self.reader.read(items.clone(), part)?;
            while let Some(item) = chosen.next_if(|&item| item < items.end) {
                let first = block.items.partition_point(|&i| i < item);
                let rows = first * self.width()..(first + tokens) * self.width();
                found
                    .items
                    .extend_from_slice(&block.items[first..first + tokens]);
                found.rows.extend_from_slice(&block.rows[rows]);
            }
        }
        Ok(found)
    }

    /// Calls `f` with all rows of `part` in file order, in bounded blocks: the item of each row (under
    /// [`RowView::Items`] these are the item ids, once each), and the raw rows, row-major [ids.len(), width].
    /// Tokens of an item are always in the same block.
    ///
    /// # Errors
    /// As [`Dataset::read_items`], and errors of `f`.
    #[allow(clippy::type_complexity)] // Spelt out, it shows what a caller gets.
    pub fn for_each_block(
        &self,
        part: Part,
        f: &mut dyn FnMut(&[usize], &[f32]) -> Result<()>,
    ) -> Result<()> {
        for items in self.reader.stack.blocks(BLOCK_BYTES) {
            let block = self.reader.read(items, part)?;
            if !block.items.is_empty() {
                f(&block.items, &block.rows)?;
            }
        }
        Ok(())
    }
}

/// Bytes of f32 to read at once for `wanted` rows spread over `bytes` of them.
fn block_bytes(bytes: usize, wanted: usize) -> usize {
    match bytes / wanted.max(1) > BLOCK_BYTES {
        true => FEW_BYTES,
        false => BLOCK_BYTES,
    }
}

fn refuse_empty_part(reader: &RowReader, scan: &Scan) -> Result<()> {
    let place = reader.stack.first().describe();
    if scan.rows == 0 {
        return Err(Error::input(format!(
            "{place}: every row holds NaN or an infinity, so none is left; expected at least 2 finite rows"
        )));
    }
    let (held_out, test) = reader.split.shares();
    let lacks = |part, share: f64, rows| (share > 0.0 || reader.split.is_given(part)) && rows == 0;
    if scan.train_rows == 0
        || lacks(Part::HeldOut, held_out, scan.held_out_rows)
        || lacks(Part::Test, test, scan.test_rows)
    {
        return Err(Error::input(format!(
            "{place}: the split of {} items (equal ones together) leaves {} rows to train on, {} held out and {} to test on; expected some of each. Use more rows, another `held_out.fraction`, `test.fraction` or seed, or no test part (`test: {{fraction: 0}}`): figures are then of held-out rows",
            reader.stack.items(),
            scan.train_rows,
            scan.held_out_rows,
            scan.test_rows
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if 10,000 of a billion rows of 64 numbers are read with 40 GB around them.
    #[test]
    fn rows_far_apart_are_read_in_small_blocks() {
        let billion = 1_000_000_000 * 64 * size_of::<f32>();
        assert!(10_000 * block_bytes(billion, 10_000) < 1 << 30);
        assert_eq!(block_bytes(billion, 1_000_000_000), BLOCK_BYTES);
        assert_eq!(block_bytes(10 << 20, 10_000), BLOCK_BYTES);
        assert_eq!(block_bytes(10 << 20, 0), FEW_BYTES);
    }
}
