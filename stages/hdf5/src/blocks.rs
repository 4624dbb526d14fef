//! Reads blocks of a file in order, ahead of the work on them.

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::scratch::Scratch;
use crate::stack::Stack;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

/// Reader threads, which alternate between blocks: while one waits for the disk, the other decompresses.
const READERS: usize = 2;

/// Approximate size of a block of [`Dataset::each_block`] in bytes of f32.
const BLOCK_BYTES: usize = 4 << 20;

type Block = Result<Vec<f32>>;

impl Dataset {
    /// Calls `work` with the items from item `from` on, in order and in blocks of bounded size. Block
    /// boundaries depend on the file alone, except for the first. `work` receives the range of items and
    /// their values, row-major [items, item_width].
    ///
    /// # Errors
    /// As [`Dataset::read_items`], and errors of `work`; reading stops at the first error.
    pub fn each_block<E: From<Error>>(
        &self,
        from: usize,
        work: impl FnMut(Range<usize>, &[f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        let blocks = self.blocks(BLOCK_BYTES).into_iter();
        let blocks = blocks.filter(|block| block.end > from);
        let blocks: Vec<_> = blocks.map(|b| b.start.max(from)..b.end).collect();
        each_block(&Stack::of(self.clone()), &blocks, work)
    }
}

/// Calls `work` with the items of each of `blocks` and their values, row-major [items, item_width], in order.
/// About five blocks are in memory at a time.
///
/// # Errors
/// As [`Stack::read_items_into`], and errors of `work`; reading stops at the first error.
///
/// # Panics
/// If a block spans several datasets.
pub fn each_block<E: From<Error>>(
    stack: &Stack,
    blocks: &[Range<usize>],
    mut work: impl FnMut(Range<usize>, &[f32]) -> Result<(), E>,
) -> Result<(), E> {
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let (full, next) = sync_channel(1);
                let (give_back, used) = channel();
                let mine = blocks.iter().skip(reader).step_by(READERS);
                scope.spawn(move || read(stack, mine, &full, &used));
                (next, give_back)
            })
            .collect();
        for (items, (next, give_back)) in blocks.iter().zip(readers.iter().cycle()) {
            let values = next
                .recv()
                .expect("a reader ends with its blocks or an error")?;
            work(items.clone(), &values)?;
            // It may have read its last block.
            let _ = give_back.send(values);
        }
        Ok(())
    })
}

/// Sends `blocks` until the receiver is dropped or reading fails, then the error.
fn read<'a>(
    stack: &Stack,
    blocks: impl Iterator<Item = &'a Range<usize>> + Clone,
    full: &SyncSender<Block>,
    used: &Receiver<Vec<f32>>,
) {
    let mut scratch = Scratch::default();
    let mut later = blocks.clone().skip(1);
    for items in blocks {
        if let Some(next) = later.next() {
            stack.announce_items(next.clone());
        }
        let mut values = used.try_recv().unwrap_or_default();
        values.resize(items.len() * stack.item_width(), 0.0);
        let outcome = stack.read_items_into(items.clone(), &mut values, &mut scratch);
        let failed = outcome.is_err();
        if full.send(outcome.map(|()| values)).is_err() || failed {
            return;
        }
    }
}
