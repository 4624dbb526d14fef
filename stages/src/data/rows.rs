//! The rows of a part of the split, read in blocks.

use super::patches::Patches;
use super::split::{Part, Split};
use crate::error::{Error, Result};
use latent_align_hdf5::{Scratch, Stack};
use serde::Serialize;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// How the items of a dataset become rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowView {
    /// [N, T, D] gives N * T rows of width D, [N, D] gives N rows.
    Tokens,
    /// One row per item, flattened: [N, C, H, W] gives N rows of width C * H * W.
    Items,
    /// Images [N, C, H, W] or [N, H, W], cut into patches with this side in pixels: each patch is a row.
    Patches(usize),
}

/// Reads the rows of one part in file order. Cheap to clone; clones share the open files.
#[derive(Debug, Clone)]
pub(super) struct RowReader {
    pub(super) stack: Stack,
    pub(super) rows_per_item: usize,
    pub(super) width: usize,
    /// How items are cut, if they are images cut into patches.
    pub(super) patches: Option<Patches>,
    pub(super) split: Split,
    /// Rows left out because they are not finite or equal a row of a given part; ascending, numbered
    /// over all datasets.
    pub(super) dropped: Arc<Vec<usize>>,
}

/// A block of rows, with buffers for reading it.
#[derive(Debug, Default)]
pub(super) struct BlockBuffer {
    /// Row-major [n, width].
    pub(super) rows: Vec<f32>,
    /// Indices of the rows in the file: ascending ranges.
    pub(super) kept: Vec<Range<usize>>,
    pub(super) scratch: Scratch,
}

/// Rows and their items.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowBlock {
    /// The item of each row.
    pub items: Vec<usize>,
    /// Row-major [items.len(), width].
    pub rows: Vec<f32>,
}

impl RowReader {
    pub(super) fn new(stack: Stack, view: RowView, split: Split) -> Result<Self> {
        let dataset = stack.first();
        let shape = dataset.shape();
        let patches = match view {
            RowView::Patches(side) => Some(Patches::of(dataset, side)?),
            _ => None,
        };
        let (rows_per_item, width) = match (patches, view, shape.len()) {
            (Some(patches), ..) => (patches.tokens(), patches.width()),
            (_, RowView::Items, _) | (_, RowView::Tokens, 2) => (1, dataset.item_width()),
            (_, RowView::Tokens, 3) => (shape[1], shape[2]),
            _ => {
                return Err(Error::input(format!(
                    "{} has rank {}; expected features [N, D] or tokens [N, T, D]. Images are what is encoded: use --data with `init`, or `train_autoencoder.data`; a flow of images cuts them into patches of P pixels: `pretrain_flow.rows: {{patches: P}}`. Of a feature map, move the axis that holds a point's coordinates last and merge the others: `x.transpose(0, 2, 3, 1).reshape(n, h * w, c)`",
                    dataset.describe(),
                    shape.len()
                )));
            }
        };
        Ok(Self {
            stack,
            rows_per_item,
            width,
            patches,
            split,
            dropped: Arc::new(Vec::new()),
        })
    }

    /// The stored numbers of items, in the order of rows.
    pub(super) fn in_rows<'a>(&self, raw: &'a [f32]) -> Cow<'a, [f32]> {
        match self.patches {
            Some(patches) => patches.cut(raw).into(),
            None => raw.into(),
        }
    }

    /// Number of rows of `part` among `items`, without reading.
    pub(super) fn count(&self, items: Range<usize>, part: Part) -> usize {
        let gone = self
            .dropped_in(&items)
            .iter()
            .filter(|&&row| self.split.part(row / self.rows_per_item) == part)
            .count();
        let kept = items.filter(|&i| self.split.part(i) == part).count();
        kept * self.rows_per_item - gone
    }

    pub(super) fn dropped_in(&self, items: &Range<usize>) -> &[usize] {
        let bound = |item: usize| {
            self.dropped
                .partition_point(|&row| row < item * self.rows_per_item)
        };
        &self.dropped[bound(items.start)..bound(items.end)]
    }

    /// Reads the rows of `part` among `items`; no I/O if there are none.
    pub(super) fn read(&self, items: Range<usize>, part: Part) -> Result<RowBlock> {
        let mut buffer = BlockBuffer::default();
        self.read_into(items, part, &mut buffer)?;
        Ok(RowBlock {
            items: self.items(&buffer.kept).collect(),
            rows: buffer.rows,
        })
    }

    /// As [`Self::read`], into a reused buffer; [`Self::items`] returns the item of each row.
    pub(super) fn read_into(
        &self,
        items: Range<usize>,
        part: Part,
        buffer: &mut BlockBuffer,
    ) -> Result<()> {
        let BlockBuffer {
            rows,
            kept,
            scratch,
        } = buffer;
        let of_part = |item| self.split.part(item) == part;
        self.keep(items.clone(), of_part, self.dropped_in(&items), kept);
        if kept.is_empty() {
            rows.clear();
            return Ok(());
        }
        rows.resize(items.len() * self.rows_per_item * self.width, 0.0);
        self.stack.read_items_into(items.clone(), rows, scratch)?;
        if let Some(patches) = self.patches {
            *rows = patches.cut(rows);
        }
        let first = items.start * self.rows_per_item;
        let mut end = 0;
        for run in kept {
            let from = (run.start - first) * self.width;
            let count = run.len() * self.width;
            rows.copy_within(from..from + count, end);
            end += count;
        }
        rows.truncate(end);
        Ok(())
    }

    /// The rows of the wanted ones of `items`, as ascending ranges without `dropped`, which are
    /// ascending rows of `items`.
    pub(super) fn keep(
        &self,
        items: Range<usize>,
        wanted: impl Fn(usize) -> bool,
        dropped: &[usize],
        kept: &mut Vec<Range<usize>>,
    ) {
        kept.clear();
        let mut dropped = dropped.iter().copied().peekable();
        for item in items.filter(|&item| wanted(item)) {
            let (mut start, end) = (item * self.rows_per_item, (item + 1) * self.rows_per_item);
            while let Some(bad) = dropped.next_if(|&row| row < end) {
                // An earlier one belongs to an item of another part.
                if bad >= start {
                    extend(kept, start..bad);
                    start = bad + 1;
                }
            }
            extend(kept, start..end);
        }
    }

    /// The item of each row of `kept`.
    pub(super) fn items(&self, kept: &[Range<usize>]) -> impl Iterator<Item = usize> {
        kept.iter()
            .flat_map(|run| run.clone().map(|row| row / self.rows_per_item))
    }
}

/// Appends `run`, merging it with the last range if adjacent.
fn extend(kept: &mut Vec<Range<usize>>, run: Range<usize>) {
    match kept.last_mut() {
        _ if run.is_empty() => {}
        Some(last) if last.end == run.start => last.end = run.end,
        _ => kept.push(run),
    }
}
