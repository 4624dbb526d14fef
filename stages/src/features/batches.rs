//! An infinite stream of training batches, shuffled, resumable, prepared on a thread of its own.
//!
//! Batch k holds rows k * batch to (k + 1) * batch of a stream that is one epoch after another (see
//! [`super::shuffle`]); a batch may straddle two epochs, so that each epoch visits each row exactly
//! once. Which rows form batch k depends on the seed and k only (for one file, split, memory budget
//! and batch size): a stream that starts at step k continues one that was stopped there.

use super::ingest::Ingest;
use super::normaliser::Normaliser;
use super::rows::{RowBlock, RowReader, RowView};
use super::shuffle::{Shuffle, Window};
use super::split::Part;
use crate::error::{Error, Result};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Most batches prepared ahead; fewer if they are large.
const MOST_AHEAD: usize = 16;

/// A running stream of batches. Dropping it ends its thread.
#[derive(Debug)]
pub struct Batches {
    ready: Option<Receiver<Result<RowBlock>>>,
    pub(super) stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl Batches {
    /// Starts the stream of the rows of `part`, normalised, at step `from_step`.
    ///
    /// If the normalised part fits in `memory_bytes` it is loaded once and each epoch is a full
    /// shuffle. Otherwise it is streamed: chunk-aligned blocks in seeded order, shuffled within
    /// windows that hold half of the budget.
    ///
    /// # Errors
    /// An input error if the part has fewer rows than a batch. Errors of reading come from
    /// [`Self::next`].
    pub fn start(
        ingest: &Ingest,
        part: Part,
        normaliser: Normaliser,
        batch: usize,
        seed: u64,
        memory_bytes: usize,
        from_step: u64,
    ) -> Result<Self> {
        let rows = ingest.part_rows(part);
        if rows < batch || batch == 0 {
            return Err(Error::input(format!(
                "batch: found {batch}, expected 1 to {rows}, the {} rows of {}. Use a smaller batch or more rows",
                match part {
                    Part::Train => "training",
                    Part::HeldOut => "held-out",
                },
                ingest.dataset.describe()
            )));
        }
        if normaliser.input_width != ingest.width() {
            return Err(Error::input(format!(
                "{} has rows of width {}, but the normalisation expects {}",
                ingest.dataset.describe(),
                ingest.width(),
                normaliser.input_width
            )));
        }
        let reader = ingest.reader.clone();
        let keep_items = ingest.view == RowView::Items;
        let width = normaliser.output_width;
        let batch_bytes = batch * width * size_of::<f32>();
        let in_memory = rows * width * size_of::<f32>() <= memory_bytes;
        // Small blocks mix better, large ones read faster.
        let blocks = reader.dataset.blocks(if in_memory {
            4 << 20
        } else {
            (memory_bytes / 32).clamp(1 << 16, 4 << 20)
        });
        let counts: Vec<usize> = blocks
            .iter()
            .map(|b| reader.count(b.clone(), part))
            .collect();
        let window_rows = if in_memory {
            rows
        } else {
            (memory_bytes / 2 / (width * size_of::<f32>())).max(batch)
        };
        let producer = Producer {
            reader,
            part,
            normaliser,
            blocks,
            shuffle: Shuffle::new(counts, window_rows, seed),
            in_memory,
            keep_items,
            batch,
            position: from_step * batch as u64,
            stop: Arc::new(AtomicBool::new(false)),
        };
        let ahead = (memory_bytes / 8 / batch_bytes).clamp(2, MOST_AHEAD);
        let (sender, receiver) = sync_channel(ahead);
        let stop = producer.stop.clone();
        let thread = std::thread::Builder::new()
            .name("batches".into())
            .spawn(move || {
                if let Err(error) = producer.run(&sender) {
                    // Nobody listens if the stream was dropped meanwhile.
                    let _ = sender.send(Err(error));
                }
            })
            .map_err(|e| {
                Error::file(ingest.dataset.path(), format!("no thread to read it: {e}"))
            })?;
        Ok(Self {
            ready: Some(receiver),
            stop,
            thread: Some(thread),
            path: ingest.dataset.path().to_owned(),
        })
    }

    /// The batch of the next step, row-major [batch, width]; waits until it is there.
    ///
    /// # Errors
    /// Errors of reading the file. The stream ends with the first.
    #[allow(clippy::should_implement_trait)] // An iterator cannot say that it never ends.
    pub fn next(&mut self) -> Result<Vec<f32>> {
        Ok(self.next_of_items()?.rows)
    }

    /// As [`Self::next`], with the item of each row: what its label is found by. Under
    /// [`RowView::Tokens`] rows are anonymous, and there are no items.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn next_of_items(&mut self) -> Result<RowBlock> {
        let ended = || Error::file(&self.path, "the reader has stopped after an error");
        match &self.ready {
            Some(ready) => ready.recv().unwrap_or_else(|_| Err(ended())),
            None => Err(ended()),
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.ready = None; // A thread that waits to send wakes up.
        if let Some(thread) = self.thread.take() {
            // A panic there was already seen as the end of the stream.
            let _ = thread.join();
        }
    }
}

/// The thread's side.
struct Producer {
    reader: RowReader,
    part: Part,
    normaliser: Normaliser,
    blocks: Vec<Range<usize>>,
    shuffle: Shuffle,
    in_memory: bool,
    keep_items: bool,
    batch: usize,
    position: u64,
    stop: Arc<AtomicBool>,
}

impl Producer {
    /// Sends batches until nobody listens.
    fn run(&self, sender: &SyncSender<Result<RowBlock>>) -> Result<()> {
        let width = self.normaliser.output_width;
        let resident = if self.in_memory {
            let everything: Vec<usize> = (0..self.blocks.len()).collect();
            Some(self.load(&everything)?)
        } else {
            None
        };
        let mut batch = self.empty_batch();
        for (window, skip) in self.shuffle.windows_from(self.position) {
            let loaded;
            let (block, order) = match &resident {
                Some(block) => (block, window.order()),
                None => {
                    loaded = self.load(&window.blocks)?;
                    (&loaded, window.order())
                }
            };
            if self.stopped() {
                return Ok(());
            }
            self.check(&window, &block.rows, width)?;
            for &row in &order[skip..] {
                let at = row as usize * width;
                batch.rows.extend_from_slice(&block.rows[at..at + width]);
                if self.keep_items {
                    batch.items.push(block.items[row as usize]);
                }
                if batch.rows.len() == self.batch * width {
                    let full = std::mem::replace(&mut batch, self.empty_batch());
                    if sender.send(Ok(full)).is_err() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn empty_batch(&self) -> RowBlock {
        RowBlock {
            items: Vec::new(),
            rows: Vec::with_capacity(self.batch * self.normaliser.output_width),
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Normalised rows of the blocks, one after another.
    fn load(&self, blocks: &[usize]) -> Result<RowBlock> {
        let count: usize = blocks
            .iter()
            .map(|&b| self.reader.count(self.blocks[b].clone(), self.part))
            .sum();
        let mut loaded = RowBlock::default();
        (loaded.rows).reserve_exact(count * self.normaliser.output_width);
        for &block in blocks {
            if self.stopped() {
                break;
            }
            let raw = self.reader.read(self.blocks[block].clone(), self.part)?;
            (loaded.rows).extend_from_slice(&self.normaliser.apply(&raw.rows));
            if self.keep_items {
                loaded.items.extend(raw.items);
            }
        }
        Ok(loaded)
    }

    /// The file changed under us if it holds other rows than the ingest counted.
    fn check(&self, window: &Window, rows: &[f32], width: usize) -> Result<()> {
        if rows.len() == window.rows * width {
            return Ok(());
        }
        Err(Error::file(
            self.reader.dataset.path(),
            "the file changed while it was read",
        ))
    }
}
