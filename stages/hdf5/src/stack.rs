//! Datasets one after another, read as one: the training set, and those that are parts of their own.

use crate::dataset::Dataset;
use crate::error::Result;
use crate::scratch::Scratch;
use std::ops::Range;

/// Datasets whose items are numbered on: those of the second follow on those of the first. All have
/// items of one width.
#[derive(Debug, Clone)]
pub struct Stack {
    datasets: Vec<Dataset>,
}

impl Stack {
    /// Of `first` alone.
    pub fn of(first: Dataset) -> Self {
        Self {
            datasets: vec![first],
        }
    }

    /// Adds `dataset` at the end and returns the items that it holds.
    pub fn push(&mut self, dataset: Dataset) -> Range<usize> {
        let start = self.items();
        let end = start + dataset.items();
        self.datasets.push(dataset);
        start..end
    }

    /// The training set.
    pub fn first(&self) -> &Dataset {
        &self.datasets[0]
    }

    /// All of them in order.
    pub fn datasets(&self) -> &[Dataset] {
        &self.datasets
    }

    /// Items of all datasets.
    pub fn items(&self) -> usize {
        self.datasets.iter().map(Dataset::items).sum()
    }

    /// Numbers an item.
    pub fn item_width(&self) -> usize {
        self.first().item_width()
    }

    /// The dataset that holds `item`, and its first item.
    ///
    /// # Panics
    /// If there are no more than `item` items.
    pub fn holder(&self, item: usize) -> (&Dataset, usize) {
        let mut start = 0;
        for dataset in &self.datasets {
            if item < start + dataset.items() {
                return (dataset, start);
            }
            start += dataset.items();
        }
        panic!("item {item} of {start}");
    }

    /// As [`Dataset::read_items_into`]; the items are of one dataset.
    ///
    /// # Errors
    /// As [`Dataset::read_items_into`].
    ///
    /// # Panics
    /// As [`Dataset::read_items_into`].
    pub fn read_items_into(
        &self,
        range: Range<usize>,
        values: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (dataset, start) = self.holder(range.start);
        dataset.read_items_into(range.start - start..range.end - start, values, scratch)
    }

    /// As [`Dataset::announce_items`]; the items are of one dataset.
    ///
    /// # Panics
    /// If there are no such items.
    pub fn announce_items(&self, range: Range<usize>) {
        let (dataset, start) = self.holder(range.start);
        dataset.announce_items(range.start - start..range.end - start);
    }

    /// As [`Dataset::blocks`], each within one dataset.
    pub fn blocks(&self, bytes: usize) -> Vec<Range<usize>> {
        let mut start = 0;
        let mut blocks = Vec::new();
        for dataset in &self.datasets {
            let here = dataset.blocks(bytes).into_iter();
            blocks.extend(here.map(|b| b.start + start..b.end + start));
            start += dataset.items();
        }
        blocks
    }
}
