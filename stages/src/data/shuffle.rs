//! The order in which rows are visited: a pure function of the seed and the position in the stream.
//!
//! The stream is a sequence of epochs, each a different order of the same rows. An epoch is divided
//! into windows: groups of blocks, taken in seeded order, that fit in memory together; rows are
//! shuffled within a window. If everything fits, there is one window, and the shuffle is full.

use crate::random::keyed::{Purpose, mix, shuffle, stream};

/// Number of rows in each block, and in a window.
#[derive(Debug, Clone)]
pub(super) struct Shuffle {
    block_rows: Vec<usize>,
    window_rows: usize,
    total: u64,
    seed: u64,
}

/// A window of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Window {
    /// The blocks to load, in this order.
    pub(super) blocks: Vec<usize>,
    /// Total number of their rows.
    pub(super) rows: usize,
    order_seed: u64,
}

impl Window {
    /// The order in which the loaded rows are visited.
    pub(super) fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.rows as u32).collect();
        shuffle(
            &mut order,
            &mut stream(self.order_seed, Purpose::WindowOrder, &[]),
        );
        order
    }
}

impl Shuffle {
    /// `window_rows` is exceeded only by a single larger block.
    pub(super) fn new(block_rows: Vec<usize>, window_rows: usize, seed: u64) -> Self {
        Self {
            total: block_rows.iter().map(|&n| n as u64).sum(),
            window_rows: window_rows.min(u32::MAX as usize),
            block_rows,
            seed,
        }
    }

    /// The windows of `epoch`; each row is in exactly one of them.
    pub(super) fn windows(&self, epoch: u64) -> Vec<Window> {
        let mut blocks: Vec<usize> = (0..self.block_rows.len())
            .filter(|&b| self.block_rows[b] > 0)
            .collect();
        shuffle(
            &mut blocks,
            &mut stream(self.seed, Purpose::BlockOrder, &[epoch]),
        );
        let mut windows: Vec<Window> = Vec::new();
        for block in blocks {
            let rows = self.block_rows[block];
            match windows.last_mut() {
                Some(window) if window.rows + rows <= self.window_rows => {
                    window.blocks.push(block);
                    window.rows += rows;
                }
                _ => windows.push(Window {
                    blocks: vec![block],
                    rows,
                    order_seed: mix(
                        self.seed,
                        Purpose::WindowOrder,
                        &[epoch, windows.len() as u64],
                    ),
                }),
            }
        }
        windows
    }

    /// The windows from stream position `position` (in rows) on, without end; the number beside the
    /// first is how many of its rows come before the position.
    pub(super) fn windows_from(&self, position: u64) -> impl Iterator<Item = (Window, usize)> {
        let mut skip = position % self.total;
        let start = position / self.total;
        (start..)
            .flat_map(|epoch| self.windows(epoch))
            .filter_map(move |window| {
                let skipped = skip.min(window.rows as u64);
                skip -= skipped;
                (skipped < window.rows as u64).then_some((window, skipped as usize))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visits(shuffle: &Shuffle, position: u64, count: usize) -> Vec<(usize, u32)> {
        shuffle
            .windows_from(position)
            .flat_map(|(window, skip)| {
                let order = window.order();
                let first = window.blocks[0];
                order[skip..]
                    .iter()
                    .map(move |&row| (first, row))
                    .collect::<Vec<_>>()
            })
            .take(count)
            .collect()
    }

    #[test]
    fn an_epoch_covers_every_block_once_within_the_budget() {
        let plan = Shuffle::new(vec![5, 0, 7, 3, 9, 4], 10, 1);
        for epoch in 0..20 {
            let windows = plan.windows(epoch);
            let mut blocks: Vec<usize> = windows.iter().flat_map(|w| w.blocks.clone()).collect();
            blocks.sort_unstable();
            assert_eq!(blocks, [0, 2, 3, 4, 5]);
            assert!(windows.iter().all(|w| w.rows <= 10));
        }
        assert_ne!(plan.windows(0), plan.windows(1));
    }

    #[test]
    fn starting_late_equals_skipping() {
        let plan = Shuffle::new(vec![5, 0, 7, 3, 9, 4], 10, 3);
        let all = visits(&plan, 0, 200);
        for position in [0, 1, 9, 10, 27, 28, 29, 56, 100] {
            assert_eq!(visits(&plan, position, 50), all[position as usize..][..50]);
        }
    }
}
