//! An infinite stream of shuffled training batches, resumable, prepared on background threads.
//!
//! Windows of rows are filled ahead ([`super::windows`]); their rows are gathered into batches, also ahead;
//! training consumes them.
//!
//! Batch k holds rows k * batch to (k + 1) * batch of a stream of consecutive epochs (see
//! [`super::shuffle`]); a batch may straddle two epochs, so that each epoch visits each row exactly once.
//! The rows of batch k depend on the seed and k only (for a given file, split, memory budget and batch
//! size): a stream that starts at step k continues one that was stopped there.

use super::ingest::Ingest;
use super::normaliser::Normaliser;
use super::rows::{RowBlock, RowView};
use super::shuffle::Shuffle;
use super::split::Part;
use super::windows::{Filled, Loader};
use crate::context::Context;
use crate::error::{Error, Result};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// Maximum number of batches prepared ahead; fewer if they are large.
const MOST_AHEAD: usize = 16;

/// A running stream of batches. Dropping it ends its threads.
#[derive(Debug)]
pub struct Batches {
    ready: Option<Receiver<Result<RowBlock>>>,
    pub(super) stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
    producer: Arc<Producer>,
}

impl Batches {
    /// Starts the stream of the normalised rows of `part` at step `from_step`. Rows of several tokens of
    /// the normaliser's width are normalised token by token.
    ///
    /// If the normalised part fits in `memory_bytes`, it is loaded once and each epoch is a full shuffle.
    /// Otherwise it is streamed: chunk-aligned blocks in seeded order, shuffled within windows that hold
    /// half of the budget; one is filled while another is consumed. In addition to the budget, memory is
    /// needed for batches prepared ahead (an eighth of it, but at least two), blocks in flight of at most 4
    /// MiB each, and a few bytes per row: its position in the order, and its item if rows have items.
    ///
    /// # Errors
    /// An input error if the part has fewer rows than a batch. Errors of reading are returned by
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
                part.word(),
                ingest.dataset.describe()
            )));
        }
        if !ingest.width().is_multiple_of(normaliser.input_width) {
            return Err(Error::input(format!(
                "{} has rows of width {}, but the normalisation expects {}",
                ingest.dataset.describe(),
                ingest.width(),
                normaliser.input_width
            )));
        }
        let row_width = normalised_width(ingest, &normaliser);
        let batch_bytes = batch * row_width * size_of::<f32>();
        let producer = Arc::new(Producer::new(
            ingest,
            part,
            normaliser,
            batch,
            seed,
            memory_bytes,
            from_step,
        ));
        let stop = producer.loader.stop.clone();
        let ahead = (memory_bytes / 8 / batch_bytes).clamp(2, MOST_AHEAD);
        let (sender, receiver) = sync_channel(ahead);
        let thread = std::thread::Builder::new()
            .name("batches".into())
            .spawn({
                let producer = producer.clone();
                move || producer.run(&sender)
            })
            .map_err(|e| {
                Error::file(ingest.dataset.path(), format!("no thread to read it: {e}"))
            })?;
        Ok(Self {
            ready: Some(receiver),
            stop,
            thread: Some(thread),
            path: ingest.dataset.path().to_owned(),
            producer,
        })
    }

    /// Returns `trained`; if it diverged, reports the batch's rows of the file to the monitor.
    ///
    /// # Errors
    /// That of `trained`.
    pub fn explain<T>(&self, trained: Result<T>, context: &Context) -> Result<T> {
        context.explain(trained, |step| self.producer.rows_of(step))
    }

    /// Waits for the batch of the next step, row-major [batch, width].
    ///
    /// # Errors
    /// Errors of reading the file; the stream ends with the first.
    #[allow(clippy::should_implement_trait)] // An iterator cannot express that it never ends.
    pub fn next(&mut self) -> Result<Vec<f32>> {
        Ok(self.next_of_items()?.rows)
    }

    /// As [`Self::next`], with the item of each row, which identifies its label. Under [`RowView::Tokens`],
    /// rows are anonymous and there are no items.
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

/// The width of a row of `ingest` after `normaliser`, which may apply to its tokens.
fn normalised_width(ingest: &Ingest, normaliser: &Normaliser) -> usize {
    ingest.width() / normaliser.input_width * normaliser.output_width
}

/// Whether `rows` of `width` numbers are loaded once and kept: they fit into `memory_bytes`, and their positions into
/// the 32 bits of an order.
fn is_kept(rows: usize, width: usize, memory_bytes: usize) -> bool {
    let bytes = rows.saturating_mul(width * size_of::<f32>());
    bytes <= memory_bytes && u32::try_from(rows).is_ok()
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.ready = None; // Wakes up a thread that waits to send.
        if let Some(thread) = self.thread.take() {
            // A panic there was already seen as the end of the stream.
            let _ = thread.join();
        }
    }
}

/// The threads' side of the stream.
#[derive(Debug)]
pub(super) struct Producer {
    pub(super) loader: Loader,
    pub(super) shuffle: Shuffle,
    /// Whether all rows are in memory, in file order.
    pub(super) in_memory: bool,
    pub(super) batch: usize,
    position: u64,
}

impl Producer {
    fn new(
        ingest: &Ingest,
        part: Part,
        normaliser: Normaliser,
        batch: usize,
        seed: u64,
        memory_bytes: usize,
        from_step: u64,
    ) -> Self {
        let width = normalised_width(ingest, &normaliser);
        let rows = ingest.part_rows(part);
        let in_memory = is_kept(rows, width, memory_bytes);
        // Small blocks mix better, large ones read faster.
        let blocks = ingest.reader.stack.blocks(if in_memory {
            4 << 20
        } else {
            (memory_bytes / 32).clamp(1 << 16, 4 << 20)
        });
        let counts: Vec<usize> = blocks
            .iter()
            .map(|b| ingest.reader.count(b.clone(), part))
            .collect();
        let window_rows = if in_memory {
            rows
        } else {
            (memory_bytes / 2 / (width * size_of::<f32>())).max(batch)
        };
        Self {
            shuffle: Shuffle::new(counts.clone(), window_rows, seed),
            loader: Loader {
                reader: ingest.reader.clone(),
                part,
                normaliser,
                row_width: width,
                blocks,
                counts,
                keep_items: ingest.view == RowView::Items,
                stop: Arc::default(),
            },
            in_memory,
            batch,
            position: from_step * batch as u64,
        }
    }

    /// Sends batches until the receiver is dropped or reading fails, then the error.
    fn run(&self, sender: &SyncSender<Result<RowBlock>>) {
        // Zero capacity: one filled window waits while another is consumed.
        let (filled, windows) = sync_channel(0);
        let (give_back, used) = channel();
        let (loader, shuffle, position) = (&self.loader, &self.shuffle, self.position);
        std::thread::scope(|scope| {
            if self.in_memory {
                scope.spawn(move || loader.stay(shuffle, position, &filled));
            } else {
                for _ in 0..2 {
                    let _ = give_back.send(Arc::default());
                }
                scope.spawn(move || loader.stream(shuffle, position, &filled, &used));
            }
            // Dropping both ends stops the other thread.
            self.gather(windows, give_back, sender);
        });
    }

    /// Gathers windows into batches.
    #[allow(clippy::needless_pass_by_value)] // The caller must not keep them.
    fn gather(
        &self,
        windows: Receiver<Result<Filled>>,
        give_back: Sender<Arc<RowBlock>>,
        sender: &SyncSender<Result<RowBlock>>,
    ) {
        let width = self.loader.row_width;
        let mut batch = self.empty_batch();
        while let Ok(next) = windows.recv() {
            let Filled { block, order, skip } = match next {
                Ok(window) => window,
                Err(error) => {
                    // The receiver is gone if the stream was dropped meanwhile.
                    let _ = sender.send(Err(error));
                    return;
                }
            };
            for &row in &order[skip..] {
                let at = row as usize * width;
                batch.rows.extend_from_slice(&block.rows[at..at + width]);
                if self.loader.keep_items {
                    batch.items.push(block.items[row as usize]);
                }
                if batch.rows.len() == self.batch * width {
                    let full = std::mem::replace(&mut batch, self.empty_batch());
                    if sender.send(Ok(full)).is_err() {
                        return;
                    }
                }
            }
            // No one waits for rows that stay in memory.
            let _ = give_back.send(block);
        }
    }

    fn empty_batch(&self) -> RowBlock {
        RowBlock {
            items: Vec::with_capacity(if self.loader.keep_items {
                self.batch
            } else {
                0
            }),
            rows: Vec::with_capacity(self.batch * self.loader.row_width),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Silent;
    use crate::data::{NonFinite, OutData, SourceConfig, Split, write_datasets};

    #[test]
    fn a_window_takes_half_of_the_budget_however_many_there_were() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let file = folder.path().join("features.h5");
        let values: Vec<f32> = (0..400_000).map(|i| i as f32).collect();
        let data = OutData::F32(&values);
        write_datasets(&file, &[("features", &[100_000, 4], data)], &[]).expect("write");
        let source = SourceConfig {
            file: file.into(),
            dataset: "features".into(),
            non_finite: NonFinite::Refuse,
        };
        let split = Split::new(5, 0.3);
        let ingest = Ingest::read(&source, RowView::Items, split, false, &Silent).expect("read");
        let budget = 1 << 20;
        let identity = Normaliser::identity(4);
        let producer = Producer::new(&ingest, Part::Train, identity, 10, 1, budget, 0);
        assert!(!producer.in_memory);
        let (filled, windows) = sync_channel(0);
        let (give_back, used) = channel();
        give_back.send(Arc::default()).expect("open");
        std::thread::scope(|scope| {
            let Producer {
                loader, shuffle, ..
            } = &producer;
            scope.spawn(move || loader.stream(shuffle, 0, &filled, &used));
            let (windows, give_back) = (windows, give_back);
            let mut sizes = Vec::new();
            for _ in 0..30 {
                let window: Filled = windows.recv().expect("endless").expect("read");
                let bytes = window.block.rows.capacity() * size_of::<f32>();
                assert!(bytes <= budget / 2, "{bytes} bytes");
                sizes.push(window.order.len());
                give_back.send(window.block).expect("open");
            }
            sizes.sort_unstable();
            sizes.dedup();
            assert!(sizes.len() > 2, "windows differ in size: {sizes:?}");
        });
    }

    /// Fails if more rows than an order can number are kept: several windows would then share the rows of the first.
    #[test]
    fn rows_are_kept_if_they_fit_and_can_be_numbered() {
        let most = u32::MAX as usize;
        assert!(is_kept(1000, 4, 16_000) && !is_kept(1000, 4, 15_999));
        assert!(is_kept(most, 1, usize::MAX) && !is_kept(most + 1, 1, usize::MAX));
        assert!(!is_kept(usize::MAX, 8, usize::MAX - 1), "no overflow");
    }

    #[test]
    fn the_rows_of_a_batch_are_found_again() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let file = folder.path().join("features.h5");
        // each row contains its index
        let values: Vec<f32> = (0..60_000).map(|i| (i / 2) as f32).collect();
        for shape in [&[30_000, 2][..], &[10_000, 3, 2]] {
            let data = OutData::F32(&values);
            write_datasets(&file, &[("features", shape, data)], &[]).expect("write");
            let source = SourceConfig {
                file: file.clone().into(),
                dataset: "features".into(),
                non_finite: NonFinite::Refuse,
            };
            let split = Split::new(5, 0.3);
            let ingest =
                Ingest::read(&source, RowView::Tokens, split, false, &Silent).expect("read");
            for budget in [1 << 17, 1 << 22] {
                let first = 37;
                let mut batches = Batches::start(
                    &ingest,
                    Part::Train,
                    Normaliser::identity(2),
                    1000,
                    1,
                    budget,
                    first,
                )
                .expect("start");
                for step in first..first + 40 {
                    let numbers: Vec<u64> = (batches.next().expect("read").chunks_exact(2))
                        .map(|row| row[0] as u64)
                        .collect();
                    assert_eq!(batches.producer.rows_of(step), numbers, "{shape:?} {step}");
                }
            }
        }
    }
}
