//! Parts that are drawn, or given as datasets or lists; equal rows are always in the same part.

use super::{features, normals, source};
use crate::context::Warned;
use crate::data::{
    Ingest, OutData, Part, PartConfig, RowView, SourceConfig, Split, write_datasets,
};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

fn share(fraction: f64) -> PartConfig {
    PartConfig {
        fraction: Some(fraction),
        ..PartConfig::default()
    }
}

fn dataset(name: &str) -> PartConfig {
    PartConfig {
        dataset: Some(name.into()),
        ..PartConfig::default()
    }
}

fn list(name: &str) -> PartConfig {
    PartConfig {
        indices: Some(name.into()),
        ..PartConfig::default()
    }
}

fn parted(source: &SourceConfig, held_out: &PartConfig, test: &PartConfig) -> Result<Ingest> {
    let warnings = Warned::default();
    Ingest::read_parts(source, RowView::Items, 5, [held_out, test], true, &warnings)
}

/// Items and first values of the rows of `part`.
fn rows(found: &Ingest, part: Part) -> (Vec<usize>, Vec<f32>) {
    let (mut items, mut values) = (Vec::new(), Vec::new());
    found
        .for_each_block(part, &mut |ids, rows| {
            items.extend_from_slice(ids);
            values.extend(rows.chunks_exact(found.width()).map(|row| row[0]));
            Ok(())
        })
        .expect("blocks");
    assert_eq!(items.len(), found.part_rows(part), "{part:?}");
    (items, values)
}

fn message<T: std::fmt::Debug>(outcome: Result<T>) -> String {
    match outcome {
        Err(Error::Input(message)) => message,
        other => panic!("expected an input error, found {other:?}"),
    }
}

/// A file like MNIST's: 40 training rows that hold their number, 12 test rows from 1000 on, 9 others.
fn published(dir: &Path) -> PathBuf {
    let file = dir.join("published.h5");
    let numbers = |from: usize, count: usize| -> Vec<f32> {
        (from..from + count).flat_map(|i| [i as f32, 0.5]).collect()
    };
    let (train, test, other) = (numbers(0, 40), numbers(1000, 12), numbers(2000, 9));
    write_datasets(
        &file,
        &[
            ("train", &[40, 2], OutData::F32(&train)),
            ("test", &[12, 2], OutData::F32(&test)),
            ("other", &[9, 2], OutData::F32(&other)),
            ("wide", &[6, 3], OutData::F32(&[0.0; 18])),
            ("bytes", &[2, 2], OutData::U8(&[1, 2, 3, 4])),
            ("list", &[3], OutData::I64(&[7, 3, 30])),
            ("rest", &[2], OutData::I64(&[4, 39])),
            ("twice", &[3], OutData::I64(&[4, 5, 4])),
            ("beyond", &[2], OutData::I64(&[4, 40])),
            ("halves", &[2], OutData::F64(&[4.0, 4.5])),
            ("overlap", &[2], OutData::I64(&[3, 4])),
        ],
        &[],
    )
    .expect("write");
    file
}

#[test]
fn a_dataset_of_its_own_is_a_part_and_its_items_follow_on() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let source = source(published(dir.path()), "train");
    let found = parted(&source, &dataset("other"), &dataset("test")).expect("ingest");
    let (items, values) = rows(&found, Part::Train);
    assert_eq!(items, (0..40).collect::<Vec<_>>());
    assert_eq!(values[39], 39.0);
    let (items, values) = rows(&found, Part::HeldOut);
    assert_eq!((items[0], values[0], items.len()), (40, 2000.0, 9));
    let (items, values) = rows(&found, Part::Test);
    assert_eq!((items[0], values[0], items.len()), (49, 1000.0, 12));
    assert_eq!(found.moments.rows, 40);
    assert_eq!(found.scan.rows, 61);
    assert_eq!(
        found.some_rows(Part::Test, 2).expect("rows"),
        [1000.0, 0.5, 1006.0, 0.5]
    );

    // the training rows of a share are drawn as if there was no other dataset
    let drawn = parted(&source, &share(0.2), &dataset("test")).expect("ingest");
    let alone = Split::new(5, 0.2);
    let expected: Vec<usize> = (0..40).filter(|&i| alone.is_held_out(i)).collect();
    assert_eq!(rows(&drawn, Part::HeldOut).0, expected);
    assert_eq!(drawn.part_rows(Part::Test), 12);
}

#[test]
fn a_list_of_items_is_a_part_and_the_rest_is_trained_on() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let source = source(published(dir.path()), "train");
    let found = parted(&source, &list("rest"), &list("list")).expect("ingest");
    assert_eq!(rows(&found, Part::Test).0, [3, 7, 30]);
    assert_eq!(rows(&found, Part::HeldOut).0, [4, 39]);
    assert_eq!(found.part_rows(Part::Train), 35);
}

#[test]
fn the_published_split_of_the_digits_is_1297_200_and_300() {
    let data = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../configs/data");
    let source = source(data.join("digits.h5"), "images");
    let part = |name: &str| PartConfig {
        file: Some(data.join("digits-split.h5")),
        ..list(name)
    };
    let found = parted(&source, &part("held_out"), &part("test")).expect("ingest");
    let counts = Part::ALL.map(|part| found.part_rows(part));
    assert_eq!(counts, [1297, 200, 300]);
}

#[test]
fn parts_that_do_not_fit_are_refused_with_what_was_found_and_what_to_do() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let source = source(published(dir.path()), "train");
    let drawn = share(0.2);
    for (held_out, test, words) in [
        (
            &drawn,
            &dataset("wide"),
            &[
                "test.dataset",
                "[6, 3]",
                "shape [N, 2] of f32",
                "published.h5",
            ][..],
        ),
        (
            &drawn,
            &dataset("bytes"),
            &["test.dataset", "u8", "of f32", ".astype"],
        ),
        (
            &drawn,
            &dataset("train"),
            &["test.dataset", "already another part", "fraction"],
        ),
        (
            &dataset("test"),
            &dataset("test"),
            &["test.dataset", "already another part"],
        ),
        (&drawn, &dataset("tset"), &["no `/tset`"]),
        (
            &drawn,
            &list("twice"),
            &["test.indices", "`/twice`", "4 twice", "each once"],
        ),
        (
            &drawn,
            &list("beyond"),
            &["test.indices", "40 at 1", "from 0 to 39"],
        ),
        (&drawn, &list("halves"), &["4.5 at 1"]),
        (&drawn, &list("train"), &["test.indices", "shape [40, 2]"]),
        (&list("list"), &list("overlap"), &["item 3", "in both"]),
    ] {
        let message = message(parted(&source, held_out, test));
        for word in words {
            assert!(message.contains(word), "no {word:?} in: {message}");
        }
    }
}

#[test]
fn equal_rows_are_counted_and_are_all_in_the_part_of_the_first() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let draws: Vec<f32> = normals(1, 600).iter().map(|&v| v as f32).collect();
    let unique = features(dir.path(), 2, &draws);
    let before = parted(&unique, &share(0.2), &share(0.2)).expect("ingest");
    assert_eq!(before.scan.equal_rows, Some(0));

    // every row once more behind the others: half of them are drawn for another part
    let twice = [&draws[..], &draws].concat();
    let config = features(dir.path(), 2, &twice);
    let warnings = Warned::default();
    let parts = [&share(0.2), &share(0.2)];
    let found =
        Ingest::read_parts(&config, RowView::Items, 5, parts, true, &warnings).expect("ingest");
    for part in Part::ALL {
        let (first, all) = (rows(&before, part).0, rows(&found, part).0);
        assert_eq!(
            all[..first.len()],
            first,
            "data before equal rows keep their split"
        );
        let again: Vec<usize> = first.iter().map(|item| item + 300).collect();
        assert_eq!(all[first.len()..], again);
    }
    let drawn = Split::drawn(5, 0.2, 0.2);
    let across = (0..300)
        .filter(|&i| drawn.part(i) != drawn.part(i + 300))
        .count();
    assert!(across > 100, "{across}");
    assert_eq!(found.scan.equal_rows, Some(300));
    assert_eq!(found.scan.equal_rows_across, Some(across as u64));
    // the statistics are of the rows where they are, not where they were drawn to be
    let trained = found.part_rows(Part::Train);
    assert_eq!(found.moments.rows, trained as u64);
    assert_eq!(trained, 2 * before.part_rows(Part::Train));
    assert!((found.moments.mean[0] - before.moments.mean[0]).abs() < 1e-6);
    let [warning] = &warnings.take()[..] else {
        panic!("expected one warning");
    };
    for words in [
        "300 of 600 rows equal",
        &format!("{across} of them"),
        "features.h5",
    ] {
        assert!(warning.contains(words), "{warning}");
    }
}

#[test]
fn what_equals_a_row_of_a_given_part_is_left_out_of_training() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("leaking.h5");
    let train: Vec<f32> = (0..60).map(|i| i as f32).collect();
    // rows [8, 9] and [40, 41] are among the training rows
    let test = [8.0, 9.0, 100.0, 101.0, 40.0, 41.0];
    let given = [(0.0, 1.0), (100.0, 101.0)].map(|(a, b)| [a, b]).concat();
    write_datasets(
        &file,
        &[
            ("train", &[30, 2], OutData::F32(&train)),
            ("test", &[3, 2], OutData::F32(&test)),
            ("held", &[2, 2], OutData::F32(&given)),
        ],
        &[],
    )
    .expect("write");
    let source = source(file, "train");
    let found = parted(&source, &dataset("held"), &dataset("test")).expect("ingest");
    assert_eq!(found.part_rows(Part::Test), 3);
    assert_eq!(
        rows(&found, Part::HeldOut).1,
        [0.0],
        "one of two is a test row"
    );
    let trained = rows(&found, Part::Train).0;
    assert_eq!(trained.len(), 27);
    assert!([0, 4, 20].iter().all(|item| !trained.contains(item)));
    assert_eq!(*found.dropped, [0, 4, 20, 31]);
    assert_eq!(found.scan.dropped_rows, 0, "they are finite");
    assert_eq!(found.scan.equal_rows_across, Some(4));
}

#[test]
fn the_tokens_of_items_that_are_kept_stand_together() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("tokens.h5");
    let values: Vec<f32> = (0..200 * 3 * 2).map(|i| i as f32).collect();
    let data = OutData::F32(&values);
    write_datasets(&file, &[("features", &[200, 3, 2], data)], &[]).expect("write");
    let parts = [&share(0.2), &share(0.2)];
    let found = Ingest::read_parts(
        &source(file, "features"),
        RowView::Tokens,
        5,
        parts,
        false,
        &Warned::default(),
    )
    .expect("ingest");
    let kept = found.some_whole_items(Part::Test, 20).expect("rows");
    assert_eq!(kept.items.len(), 18, "six items of three tokens");
    for (tokens, rows) in kept.items.chunks(3).zip(kept.rows.chunks(6)) {
        assert_eq!(tokens, [tokens[0]; 3]);
        let first = (tokens[0] * 6) as f32;
        assert_eq!(rows[0], first);
        assert_eq!(rows[5], first + 5.0);
        assert_eq!(found.split.part(tokens[0]), Part::Test);
    }
    let all = found.some_whole_items(Part::Test, 10_000).expect("rows");
    assert_eq!(all.items.len(), found.part_rows(Part::Test));
}
