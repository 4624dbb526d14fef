//! Which rows of a file form a batch, found again without reading any.

use super::rows::RowReader;
use super::shuffle::Shuffle;
use super::split::Part;
use std::ops::Range;

/// What the order of a stream of batches is made of.
#[derive(Debug)]
pub(super) struct Whereabouts {
    pub(super) reader: RowReader,
    pub(super) part: Part,
    pub(super) blocks: Vec<Range<usize>>,
    pub(super) shuffle: Shuffle,
    /// Whether all rows lie in memory in file order.
    pub(super) in_memory: bool,
    pub(super) batch: usize,
}

impl Whereabouts {
    /// The rows of batch `step` of the file, in the order of the batch: row r of [N, D] is item r, of
    /// [N, T, D] token r % T of item r / T.
    pub(super) fn rows(&self, step: u64) -> Vec<u64> {
        let mut found = Vec::with_capacity(self.batch);
        for (window, skip) in self.shuffle.windows_from(step * self.batch as u64) {
            let everything: Vec<usize> = (0..self.blocks.len()).collect();
            let blocks = if self.in_memory {
                &everything
            } else {
                &window.blocks
            };
            let rows: Vec<usize> = blocks.iter().flat_map(|&b| self.of_block(b)).collect();
            let order = window.order();
            let here = order[skip..].iter().map(|&i| rows[i as usize] as u64);
            found.extend(here.take(self.batch - found.len()));
            if found.len() == self.batch {
                break;
            }
        }
        found
    }

    fn of_block(&self, block: usize) -> impl Iterator<Item = usize> {
        let items = self.blocks[block].clone();
        let mut kept = Vec::new();
        let dropped = self.reader.dropped_in(&items);
        self.reader
            .keep(items.clone(), self.part, dropped, &mut kept);
        kept.into_iter().flatten()
    }
}
