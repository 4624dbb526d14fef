//! From items to rows: which rows of a dataset belong to a part of the split, read in blocks.

use super::dataset::Dataset;
use super::split::{Part, Split};
use crate::error::{Error, Result};
use serde::Serialize;
use std::ops::Range;
use std::sync::Arc;

/// How the items of a dataset become rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowView {
    /// [N, T, D] gives N * T rows of width D, [N, D] gives N rows.
    Tokens,
    /// One row an item, flattened: [N, C, H, W] gives N rows of width C * H * W.
    Items,
}

/// Reads the rows of one part, in file order. Cheap to clone; clones share the open file.
#[derive(Debug, Clone)]
pub(super) struct RowReader {
    pub(super) dataset: Dataset,
    pub(super) rows_per_item: usize,
    pub(super) width: usize,
    pub(super) split: Split,
    /// Rows left out because they are not finite, ascending, counted over the whole file.
    pub(super) dropped: Arc<Vec<usize>>,
}

/// Rows and where they come from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowBlock {
    /// The item of each row.
    pub items: Vec<usize>,
    /// Row-major [items.len(), width].
    pub rows: Vec<f32>,
}

impl RowReader {
    pub(super) fn new(dataset: Dataset, view: RowView, split: Split) -> Result<Self> {
        let shape = dataset.shape();
        let (rows_per_item, width) = match (view, shape.len()) {
            (RowView::Items, _) | (RowView::Tokens, 2) => (1, dataset.item_width()),
            (RowView::Tokens, 3) => (shape[1], shape[2]),
            (RowView::Tokens, _) => {
                return Err(Error::input(format!(
                    "{} has rank {}; expected features [N, D] or tokens [N, T, D]. Move the axis that holds a point's coordinates last and merge the others: `x.transpose(0, 2, 3, 1).reshape(n, h * w, c)`",
                    dataset.describe(),
                    shape.len()
                )));
            }
        };
        Ok(Self {
            dataset,
            rows_per_item,
            width,
            split,
            dropped: Arc::new(Vec::new()),
        })
    }

    /// Rows of `part` among `items`, without reading.
    pub(super) fn count(&self, items: Range<usize>, part: Part) -> usize {
        let gone = self
            .dropped_in(&items)
            .iter()
            .filter(|&&row| self.split.part(row / self.rows_per_item) == part)
            .count();
        let kept = items.filter(|&i| self.split.part(i) == part).count();
        kept * self.rows_per_item - gone
    }

    fn dropped_in(&self, items: &Range<usize>) -> &[usize] {
        let bound = |item: usize| {
            self.dropped
                .partition_point(|&row| row < item * self.rows_per_item)
        };
        &self.dropped[bound(items.start)..bound(items.end)]
    }

    /// Reads the rows of `part` among `items`; no I/O if there are none.
    pub(super) fn read(&self, items: Range<usize>, part: Part) -> Result<RowBlock> {
        if self.count(items.clone(), part) == 0 {
            return Ok(RowBlock::default());
        }
        let raw = self.dataset.read_items(items.clone())?;
        let dropped = self.dropped_in(&items);
        let mut block = RowBlock::default();
        for (row, values) in (items.start * self.rows_per_item..).zip(raw.chunks_exact(self.width))
        {
            let item = row / self.rows_per_item;
            if self.split.part(item) == part && dropped.binary_search(&row).is_err() {
                block.items.push(item);
                block.rows.extend_from_slice(values);
            }
        }
        Ok(block)
    }
}
