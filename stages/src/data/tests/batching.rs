//! The stream of batches: guarantees on order, resuming, memory and bad rows.

use super::{features, fixture, source};
use crate::context::Silent;
use crate::data::{
    Batches, Ingest, NonFinite, Normaliser, OutData, Part, RowView, SourceConfig, Split,
    write_datasets,
};
use std::path::Path;

const ROWS: usize = 100_003;
const LARGE: usize = 1 << 30;
/// Of 400 kB of rows.
const SMALL: usize = 128 << 10;

/// A file with row i = (i).
fn counting(dir: &Path) -> SourceConfig {
    let rows: Vec<f32> = (0..ROWS).map(|i| i as f32).collect();
    features(dir, 1, &rows)
}

fn ingest(config: &SourceConfig, fraction: f64) -> Ingest {
    Ingest::read(
        config,
        RowView::Items,
        Split::new(5, fraction),
        false,
        &Silent,
    )
    .expect("ingest")
}

fn start(ingest: &Ingest, part: Part, batch: usize, memory: usize, from: u64) -> Batches {
    let normaliser = Normaliser::identity(ingest.width());
    Batches::start(ingest, part, normaliser, batch, 9, memory, from).expect("start")
}

fn take(batches: &mut Batches, count: usize) -> Vec<Vec<f32>> {
    (0..count).map(|_| batches.next().expect("batch")).collect()
}

#[test]
fn an_epoch_visits_each_row_of_the_part_exactly_once() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ingest = ingest(&counting(dir.path()), 0.25);
    for memory in [LARGE, SMALL] {
        for part in [Part::Train, Part::HeldOut] {
            let expected: Vec<f32> = (0..ROWS)
                .filter(|&i| ingest.split.part(i) == part)
                .map(|i| i as f32)
                .collect();
            let rows = expected.len();
            assert_eq!(ingest.part_rows(part), rows);
            let batch = 1000;
            let mut batches = start(&ingest, part, batch, memory, 0);
            let stream = take(&mut batches, 2 * rows / batch + 1).concat();
            for epoch in 0..2 {
                let mut seen = stream[epoch * rows..(epoch + 1) * rows].to_vec();
                assert_ne!(seen, expected, "rows in file order are not shuffled");
                seen.sort_by(f32::total_cmp);
                assert_eq!(
                    seen, expected,
                    "epoch {epoch} of {part:?} at {memory} bytes"
                );
            }
            assert_ne!(stream[..rows], stream[rows..2 * rows], "epochs must differ");
        }
    }
}

#[test]
fn starting_at_a_step_equals_skipping_to_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ingest = ingest(&counting(dir.path()), 0.1);
    for memory in [LARGE, SMALL] {
        let all = take(&mut start(&ingest, Part::Train, 999, memory, 0), 210);
        for from in [1, 40, 90, 91, 150, 200] {
            let resumed = take(&mut start(&ingest, Part::Train, 999, memory, from), 10);
            assert_eq!(
                resumed,
                all[from as usize..][..10],
                "step {from} at {memory} bytes"
            );
        }
    }
}

#[test]
fn streaming_mixes_distant_parts_of_the_file_into_a_batch() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("features.h5");
    let rows: Vec<f32> = (0..ROWS * 8).map(|i| (i / 8) as f32).collect();
    write_datasets(&path, &[("features", &[ROWS, 8], OutData::F32(&rows))], &[]).expect("write");
    let ingest = ingest(&source(path, "features"), 0.1);
    // A quarter of the file fits; a window is half of that.
    let mut batches = start(&ingest, Part::Train, 1000, 800_000, 0);
    for batch in take(&mut batches, 20) {
        let (low, high) = batch
            .iter()
            .fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        assert!(
            high - low > 0.05 * ROWS as f32,
            "a batch spans {low} to {high}"
        );
    }
}

#[test]
fn rows_are_normalised_and_dropped_rows_never_appear() {
    let mut config = source(fixture("refused.h5"), "not_finite");
    config.non_finite = NonFinite::Drop;
    let ingest = ingest(&config, 0.0);
    let mut batches = Batches::start(
        &ingest,
        Part::Train,
        Normaliser::scale(3, 2.0),
        6,
        1,
        LARGE,
        0,
    )
    .expect("start");
    let mut firsts: Vec<f32> = batches
        .next()
        .expect("batch")
        .chunks(3)
        .map(|r| r[0])
        .collect();
    firsts.sort_by(f32::total_cmp);
    let mut expected: Vec<f32> = [0, 1, 3, 4, 6, 7].map(|i| 2.0 * super::value(i, 0)).into();
    expected.sort_by(f32::total_cmp);
    assert_eq!(firsts, expected);
}

#[test]
fn a_batch_larger_than_the_part_is_refused() {
    let ingest = ingest(&source(fixture("formats.h5"), "f32"), 0.0);
    let outcome = Batches::start(
        &ingest,
        Part::Train,
        Normaliser::identity(6),
        11,
        1,
        LARGE,
        0,
    );
    let message = outcome.expect_err("11 of 10 rows").to_string();
    assert!(
        message.contains("batch: found 11, expected 1 to 10"),
        "{message}"
    );
    let outcome = Batches::start(
        &ingest,
        Part::Train,
        Normaliser::identity(5),
        2,
        1,
        LARGE,
        0,
    );
    assert!(outcome.expect_err("width").to_string().contains("width 6"));
}

#[test]
fn dropping_the_stream_ends_its_thread() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ingest = ingest(&counting(dir.path()), 0.1);
    for memory in [LARGE, SMALL] {
        let mut batches = start(&ingest, Part::Train, 100, memory, 0);
        batches.next().expect("batch");
        let stop = std::sync::Arc::downgrade(&batches.stop);
        drop(batches);
        assert!(stop.upgrade().is_none(), "the thread still holds its state");
    }
}

#[test]
fn a_file_that_breaks_while_it_is_read_ends_the_stream_with_an_error() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("features.h5");
    let rows: Vec<f32> = super::normals(3, 1 << 20)
        .iter()
        .map(|&v| v as f32)
        .collect();
    write_datasets(
        &path,
        &[("features", &[1 << 18, 4], OutData::F32(&rows))],
        &[],
    )
    .expect("write");
    let ingest = ingest(&source(&path, "features"), 0.1);
    // Overwritten in place: the open file sees it, and the checksums tell.
    let size = std::fs::metadata(&path).expect("metadata").len() as usize;
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("open");
    file.write_all_at(&vec![0x5a; size - 20_000], 10_000)
        .expect("overwrite");
    let mut batches = start(&ingest, Part::Train, 100, SMALL, 0);
    let error = (0..10_000)
        .find_map(|_| batches.next().err())
        .expect("an error");
    assert!(error.to_string().contains("features.h5"), "{error}");
    assert!(batches.next().is_err(), "the stream must not go on");
}

#[test]
fn every_row_comes_with_its_item() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ingest = ingest(&counting(dir.path()), 0.25);
    for memory in [LARGE, SMALL] {
        let mut batches = start(&ingest, Part::Train, 1000, memory, 3);
        let mut rows = start(&ingest, Part::Train, 1000, memory, 3);
        for _ in 0..100 {
            let batch = batches.next_of_items().expect("batch");
            let items: Vec<f32> = batch.items.iter().map(|&i| i as f32).collect();
            assert_eq!(items, batch.rows, "row i of this file is (i)");
            assert_eq!(batch.rows, rows.next().expect("batch"));
        }
    }
}

#[test]
fn the_stream_is_the_one_it_was_in_earlier_versions() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let rows: Vec<f32> = (0..ROWS * 5).map(|i| i as f32 / 7.0).collect();
    let ingest = ingest(&features(dir.path(), 5, &rows), 0.1);
    let digest = |memory, from| {
        let normaliser = Normaliser::scale(5, 0.3);
        let mut batches =
            Batches::start(&ingest, Part::Train, normaliser, 500, 11, memory, from).expect("start");
        let mut digest = blake3::Hasher::new();
        for _ in 0..400 {
            let batch = batches.next_of_items().expect("batch");
            for (row, item) in batch.rows.chunks(5).zip(&batch.items) {
                digest.update(&item.to_le_bytes());
                row.iter().for_each(|v| _ = digest.update(&v.to_le_bytes()));
            }
        }
        digest.finalize().to_hex()[..16].to_owned()
    };
    assert_eq!(
        [digest(LARGE, 0), digest(SMALL, 0), digest(1 << 20, 77)],
        ["a24a0b9941504c37", "dd1a83d845176706", "d895be433f63f044"]
    );
}

#[test]
fn a_dense_map_and_tokens_stream_as_they_are_read() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("tokens.h5");
    let values: Vec<f32> = super::normals(2, 6000 * 4 * 3)
        .iter()
        .map(|&v| v as f32)
        .collect();
    let shape = [6000, 4, 3];
    write_datasets(&path, &[("features", &shape, OutData::F32(&values))], &[]).expect("write");
    let ingest = Ingest::read(
        &source(path, "features"),
        RowView::Tokens,
        Split::new(3, 0.2),
        false,
        &Silent,
    )
    .expect("ingest");
    let matrix = vec![1.0, 2.0, -3.0, 0.5, 0.25, 4.0];
    let normaliser =
        Normaliser::from_parts(vec![0.5, 1.5, -1.0], matrix, 2, None).expect("normaliser");
    let sorted = |mut rows: Vec<Vec<u32>>| {
        rows.sort_unstable();
        rows
    };
    let bits = |rows: &[f32]| -> Vec<Vec<u32>> {
        (rows.chunks(2))
            .map(|r| r.iter().map(|v| v.to_bits()).collect())
            .collect()
    };
    let mut expected = Vec::new();
    ingest
        .for_each_block(Part::Train, &mut |_, rows| {
            expected.extend(bits(&normaliser.apply(rows)));
            Ok(())
        })
        .expect("read");
    let expected = sorted(expected);
    for memory in [LARGE, SMALL] {
        let rows = expected.len();
        let map = normaliser.clone();
        let mut batches =
            Batches::start(&ingest, Part::Train, map, 128, 1, memory, 0).expect("start");
        let stream = take(&mut batches, rows.div_ceil(128)).concat();
        assert_eq!(sorted(bits(&stream[..2 * rows])), expected, "{memory}");
    }
}
