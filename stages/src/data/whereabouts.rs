//! Determines the rows of a batch without reading.

use super::batches::Producer;

impl Producer {
    /// The rows of the file in batch `step`, in the order of the batch: row r of [N, D] is item r, of
    /// [N, T, D] token r % T of item r / T.
    pub(super) fn rows_of(&self, step: u64) -> Vec<u64> {
        let everything: Vec<usize> = (0..self.loader.blocks.len()).collect();
        let mut found = Vec::with_capacity(self.batch);
        for (window, skip) in self.shuffle.windows_from(step * self.batch as u64) {
            let blocks = match self.in_memory {
                true => &everything,
                false => &window.blocks,
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
        let (reader, items) = (&self.loader.reader, self.loader.blocks[block].clone());
        let mut kept = Vec::new();
        let dropped = reader.dropped_in(&items);
        let of_part = |item| reader.split.part(item) == self.loader.part;
        reader.keep(items.clone(), of_part, dropped, &mut kept);
        kept.into_iter().flatten()
    }
}
