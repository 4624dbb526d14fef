//! Concatenated datasets: the training set, and separate held-out and test sets.

use crate::dataset::Dataset;
use crate::error::Result;
use crate::scratch::Scratch;
use std::ops::Range;

/// Datasets whose items are numbered consecutively. All have items of equal width.
#[derive(Debug, Clone)]
pub struct Stack {
    datasets: Vec<Dataset>,
}

impl Stack {
    /// A single dataset.
    pub fn of(first: Dataset) -> Self {
        Self {
            datasets: vec![first],
        }
    }

    /// Appends `dataset` and returns the range of its items.
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

    /// Numbers per item.
    pub fn item_width(&self) -> usize {
        self.first().item_width()
    }

    /// The dataset that contains `item`, and its first item.
    ///
    /// # Panics
    /// If `item` is out of range.
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

    /// As [`Dataset::read_items_into`], for items of one dataset.
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

    /// As [`Dataset::announce_items`], for items of one dataset.
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
