//! Windows of the stream, filled one ahead of the one being consumed.

use super::normaliser::Normaliser;
use super::rows::{BlockBuffer, RowBlock, RowReader};
use super::shuffle::Shuffle;
use super::split::Part;
use crate::error::Result;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};

/// Threads that fill a window: while one waits for the disk or for libhdf5's lock, the other
/// decompresses and normalises.
const READERS: usize = 2;

/// Minimum size of a window, in bytes, for which a second thread pays off.
const WORTH_A_THREAD: usize = 4 << 20;

/// Rows in memory and the order in which they are visited.
pub(super) struct Filled {
    /// Normalised. A window that is sent back to the [`Loader`] donates its memory to a later one.
    pub(super) block: Arc<RowBlock>,
    pub(super) order: Vec<u32>,
    /// Number of entries of `order` before the start of the stream.
    pub(super) skip: usize,
}

/// Reads and normalises windows.
#[derive(Debug)]
pub(super) struct Loader {
    pub(super) reader: RowReader,
    pub(super) part: Part,
    pub(super) normaliser: Normaliser,
    /// Width of a normalised row.
    pub(super) row_width: usize,
    pub(super) blocks: Vec<Range<usize>>,
    /// Rows of the part in each block.
    pub(super) counts: Vec<usize>,
    pub(super) keep_items: bool,
    pub(super) stop: Arc<AtomicBool>,
}

/// A block to read, with the destination of its rows and items.
struct Job<'a> {
    block: usize,
    /// A block to read ahead.
    later: Option<usize>,
    rows: &'a mut [f32],
    items: &'a mut [usize],
}

impl Loader {
    /// Sends the windows of `shuffle` from stream position `position` on until the receiver is dropped
    /// or reading fails, then the error. Memory for the windows is returned through `used`.
    pub(super) fn stream(
        &self,
        shuffle: &Shuffle,
        position: u64,
        filled: &SyncSender<Result<Filled>>,
        used: &Receiver<Arc<RowBlock>>,
    ) {
        let mut buffers = Default::default();
        for (window, skip) in shuffle.windows_from(position) {
            let Ok(mut block) = used.recv() else { return };
            let memory = Arc::get_mut(&mut block).expect("a window is given back by its only user");
            let outcome = self.fill(&window.blocks, memory, &mut buffers);
            let next = outcome.map(|()| Filled {
                block,
                order: window.order(),
                skip,
            });
            let failed = next.is_err();
            if self.stopped() || filled.send(next).is_err() || failed {
                return;
            }
        }
    }

    /// As [`Self::stream`], for a shuffle with a single window of all rows: they are read once, in file
    /// order, and only their order changes.
    pub(super) fn stay(
        &self,
        shuffle: &Shuffle,
        position: u64,
        filled: &SyncSender<Result<Filled>>,
    ) {
        let everything: Vec<usize> = (0..self.blocks.len()).collect();
        let mut block = RowBlock::default();
        if let Err(error) = self.fill(&everything, &mut block, &mut Default::default()) {
            // The receiver is gone if the stream was dropped meanwhile.
            let _ = filled.send(Err(error));
            return;
        }
        let block = Arc::new(block);
        for (window, skip) in shuffle.windows_from(position) {
            let next = Filled {
                block: block.clone(),
                order: window.order(),
                skip,
            };
            if self.stopped() || filled.send(Ok(next)).is_err() {
                return;
            }
        }
    }

    /// Overwrites `window` with the normalised rows of `blocks`, one block after another.
    fn fill(
        &self,
        blocks: &[usize],
        window: &mut RowBlock,
        buffers: &mut [BlockBuffer; READERS],
    ) -> Result<()> {
        let width = self.row_width;
        let count: usize = blocks.iter().map(|&b| self.counts[b]).sum();
        resize(&mut window.rows, count * width);
        resize(&mut window.items, if self.keep_items { count } else { 0 });
        let (mut rows, mut items) = (&mut window.rows[..], &mut window.items[..]);
        let mut jobs = Vec::with_capacity(blocks.len());
        for (place, &block) in blocks.iter().enumerate() {
            let count = self.counts[block];
            jobs.push(Job {
                block,
                later: blocks.get(place + READERS).copied(),
                rows: rows.split_off_mut(..count * width).expect("counted"),
                items: items
                    .split_off_mut(..count.min(items.len()))
                    .expect("counted"),
            });
        }
        let small = count * width * size_of::<f32>() < WORTH_A_THREAD;
        let jobs = Mutex::new(jobs.into_iter());
        let [first, others @ ..] = buffers;
        std::thread::scope(|scope| {
            let others: Vec<_> = (others.iter_mut())
                .filter(|_| !small)
                .map(|buffer| scope.spawn(|| self.work(&jobs, buffer)))
                .collect();
            let mut outcome = self.work(&jobs, first);
            for thread in others {
                outcome = outcome.and(thread.join().unwrap_or_else(|e| resume_unwind(e)));
            }
            outcome
        })
    }

    /// Processes jobs until none is left, one fails, or the stream is dropped.
    fn work<'a>(
        &self,
        jobs: &Mutex<impl Iterator<Item = Job<'a>>>,
        buffer: &mut BlockBuffer,
    ) -> Result<()> {
        let next = || (jobs.lock().unwrap_or_else(PoisonError::into_inner)).next();
        while let Some(job) = next() {
            if self.stopped() {
                break;
            }
            if let Some(later) = job.later {
                self.reader.stack.announce_items(self.blocks[later].clone());
            }
            let block = self.blocks[job.block].clone();
            self.reader.read_into(block, self.part, buffer)?;
            self.normaliser.apply_into(&buffer.rows, job.rows);
            for (to, item) in job.items.iter_mut().zip(self.reader.items(&buffer.kept)) {
                *to = item;
            }
        }
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Resizes to exactly `count` values of unspecified content; `Vec::resize` would allocate up to twice as
/// much.
fn resize<T: Copy + Default>(values: &mut Vec<T>, count: usize) {
    if values.capacity() < count {
        // Freed first, so that both are never held at once.
        *values = Vec::new();
        values.reserve_exact(count);
    }
    values.resize(count, T::default());
}
