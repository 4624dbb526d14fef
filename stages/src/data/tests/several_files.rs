//! Several files are one dataset.

use super::{features, source};
use crate::context::Silent;
use crate::data::{
    Batches, Dataset, Files, Ingest, Normaliser, OutData, Part, PartConfig, RowView, SourceConfig,
    Split, read_beside, write_datasets,
};
use std::path::{Path, PathBuf};

const ROWS: usize = 70_001;
const WIDTH: usize = 4;

/// Rows of `counts` in a file each, numbered over all files.
fn shards(dir: &Path, counts: &[usize]) -> SourceConfig {
    let mut start = 0;
    let mut files = Vec::new();
    for (number, &rows) in counts.iter().enumerate() {
        let path = dir.join(format!("{number}.h5"));
        let values: Vec<f32> = (start * WIDTH..(start + rows) * WIDTH)
            .map(|i| i as f32)
            .collect();
        let labels: Vec<i64> = (start..start + rows).map(|i| i as i64 % 3).collect();
        let datasets: [(&str, &[usize], OutData); 2] = [
            ("features", &[rows, WIDTH], OutData::F32(&values)),
            ("labels", &[rows], OutData::I64(&labels)),
        ];
        write_datasets(&path, &datasets, &[]).unwrap();
        files.push(path);
        start += rows;
    }
    SourceConfig {
        file: Files::of(files).unwrap(),
        ..source("", "features")
    }
}

fn ingest(source: &SourceConfig) -> Ingest {
    Ingest::read(source, RowView::Items, Split::new(5, 0.1), false, &Silent).unwrap()
}

/// Fails if blocks end where files do, so that the order of a shuffled epoch depends on the files.
#[test]
fn rows_statistics_and_batches_are_those_of_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let rows: Vec<f32> = (0..ROWS * WIDTH).map(|i| i as f32).collect();
    let one = ingest(&features(dir.path(), WIDTH, &rows));
    // 16,384 rows are a chunk; no file ends with one
    let several = ingest(&shards(dir.path(), &[20_001, 30_000, 20_000]));
    assert_eq!(several.scan, one.scan);
    assert_eq!(several.dataset.shape(), one.dataset.shape());
    for memory in [1 << 30, 256 << 10] {
        for from in [0, 71] {
            let stream = |ingest: &Ingest| -> Vec<f32> {
                let normaliser = Normaliser::identity(WIDTH);
                let mut batches =
                    Batches::start(ingest, Part::Train, normaliser, 999, 9, memory, from).unwrap();
                (0..70).flat_map(|_| batches.next().unwrap()).collect()
            };
            assert!(
                stream(&several) == stream(&one),
                "{memory} bytes, from step {from}"
            );
        }
    }
}

#[test]
fn a_range_over_files_is_read_in_order_and_labels_follow() {
    let dir = tempfile::tempdir().unwrap();
    let data = shards(dir.path(), &[3, 1, 4]).open().unwrap();
    assert_eq!((data.items(), data.item_width()), (8, WIDTH));
    for range in [0..8, 2..5, 3..4, 4..8, 5..6] {
        let expected: Vec<f32> = (range.start * WIDTH..range.end * WIDTH)
            .map(|i| i as f32)
            .collect();
        assert_eq!(
            data.read_items(range.clone()).unwrap(),
            expected,
            "{range:?}"
        );
    }
    let (shape, labels) = read_beside(&data, "labels").unwrap();
    assert_eq!(
        (shape, labels),
        (vec![8], vec![0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 1.0])
    );
    assert!(
        data.describe()
            .starts_with("/features [8, 4] f32 in 3 files from ")
    );
}

#[test]
fn files_that_do_not_belong_together_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let write = |name: &str, shape: [usize; 2], values: OutData, labels: &[i64]| -> PathBuf {
        let datasets: [(&str, &[usize], OutData); 2] = [
            ("features", &shape, values),
            ("labels", &[labels.len()], OutData::I64(labels)),
        ];
        write_datasets(&path(name), &datasets, &[]).unwrap();
        path(name)
    };
    let first = write("a.h5", [2, 3], OutData::F32(&[0.0; 6]), &[0, 1]);
    let wide = write("wide.h5", [2, 4], OutData::F32(&[0.0; 8]), &[0, 1]);
    let bytes = write("bytes.h5", [2, 3], OutData::U8(&[0; 6]), &[0, 1]);
    let fewer = write("fewer.h5", [2, 3], OutData::F32(&[0.0; 6]), &[0]);
    for (second, expected) in [
        (wide, "wide.h5, expected items like those of"),
        (bytes, "bytes.h5, expected items like those of"),
        (first.clone(), "a.h5 is named twice"),
        (path("gone.h5"), "gone.h5"),
    ] {
        let why = Dataset::open_all(&[first.clone(), second], "features")
            .unwrap_err()
            .to_string();
        assert!(why.contains(expected), "{why}");
    }
    let data = Dataset::open_all(&[first.clone(), fewer], "features").unwrap();
    let why = read_beside(&data, "labels").unwrap_err().to_string();
    assert!(
        why.contains("fewer.h5: found shape [1], expected [2]"),
        "{why}"
    );
    let source = SourceConfig {
        file: Files::of(vec![first, path("b.h5")]).unwrap(),
        ..source("", "features")
    };
    std::fs::copy(path("a.h5"), path("b.h5")).unwrap();
    let part = PartConfig {
        dataset: Some("features".into()),
        ..PartConfig::default()
    };
    let parts = [&part, &PartConfig::default()];
    let why = Ingest::read_parts(&source, RowView::Items, 0, parts, false, &Silent).unwrap_err();
    assert!(
        why.to_string().contains("held_out.file: found nothing"),
        "{why}"
    );
}
