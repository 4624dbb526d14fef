//! The scan's figures, the split and the policies for bad rows.

use super::{features, fixture, normals, source, value};
use crate::context::{Column, Monitor, Silent, Table, Warned};
use crate::data::{Ingest, NonFinite, Part, RowView, SourceConfig, Split};
use crate::error::{Error, Result};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

fn read(source: &SourceConfig, view: RowView, split: Split) -> Result<Ingest> {
    Ingest::read(source, view, split, true, &Silent)
}

fn message<T: std::fmt::Debug>(outcome: Result<T>) -> String {
    match outcome {
        Err(Error::Input(message)) => message,
        other => panic!("expected an input error, found {other:?}"),
    }
}

#[test]
fn the_figures_are_those_of_the_closed_form() {
    let dir = tempfile::tempdir().expect("temporary directory");
    // Columns: i, (-1)^i * 3, and 7; i = 0..=99.
    let rows: Vec<f32> = (0..100)
        .flat_map(|i| [i as f32, if i % 2 == 0 { 3.0 } else { -3.0 }, 7.0])
        .collect();
    let found = read(
        &features(dir.path(), 3, &rows),
        RowView::Items,
        Split::new(1, 0.2),
    )
    .expect("ingest");
    let scan = &found.scan;
    assert_eq!((scan.rows, scan.width), (100, 3));
    let close = |a: &[f64], b: [f64; 3]| {
        assert!(
            a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12),
            "{a:?} {b:?}"
        );
    };
    close(&scan.mean, [49.5, 0.0, 7.0]);
    close(&scan.std, [(9999.0f64 / 12.0).sqrt(), 3.0, 0.0]);
    close(&scan.min, [0.0, -3.0, 7.0]);
    close(&scan.max, [99.0, 3.0, 7.0]);
    assert_eq!(scan.constant_columns, [2]);
    assert_eq!(scan.lattice_columns, [1]);
    let monitor = Warned::default();
    found.warn_of_lattice(&monitor);
    let [told] = &monitor.take()[..] else {
        panic!("one warning")
    };
    assert!(
        told.contains("1 of 3 columns") && told.contains("column 1"),
        "{told}"
    );
    assert_eq!((scan.nan, scan.infinite, scan.dropped_rows), (0, 0, 0));
    assert_eq!(scan.train_rows + scan.held_out_rows, 100);

    // The moments are of the training rows alone.
    let train: Vec<f64> = (0..100)
        .filter(|&i| !found.split.is_held_out(i))
        .map(|i| i as f64)
        .collect();
    assert_eq!(found.moments.rows, train.len() as u64);
    let mean = train.iter().sum::<f64>() / train.len() as f64;
    assert!((found.moments.mean[0] - mean).abs() < 1e-12);
    let json = serde_json::to_value(scan).expect("serialises");
    assert_eq!(json["held_out_rows"], scan.held_out_rows);
}

#[test]
fn numbers_that_are_not_finite_are_counted_and_refused() {
    let message = message(read(
        &source(fixture("refused.h5"), "not_finite"),
        RowView::Items,
        Split::new(1, 0.0),
    ));
    for part in [
        "2 NaN",
        "1 infinite",
        "2 rows",
        "row 2, column 1",
        "non_finite: drop",
    ] {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

#[test]
fn dropped_rows_are_recorded_and_never_seen_again() {
    let mut config = source(fixture("refused.h5"), "not_finite");
    config.non_finite = NonFinite::Drop;
    let found = read(&config, RowView::Items, Split::new(1, 0.0)).expect("ingest");
    assert_eq!((found.scan.rows, found.scan.dropped_rows), (6, 2));
    assert_eq!((found.scan.nan, found.scan.infinite), (2, 1));
    assert_eq!(found.scan.first_non_finite, Some((2, 1)));
    assert_eq!(*found.dropped, [2, 5]);
    let mut seen = Vec::new();
    found
        .for_each_block(Part::Train, &mut |items, rows| {
            assert_eq!(rows.len(), items.len() * 3);
            assert_eq!(rows[0], value(items[0], 0));
            seen.extend_from_slice(items);
            Ok(())
        })
        .expect("blocks");
    assert_eq!(seen, [0, 1, 3, 4, 6, 7]);
    let rows = found.some_rows(Part::Train, 100).expect("rows");
    assert!(rows.len() == 18 && rows.iter().all(|v| v.is_finite()));
}

#[test]
fn tokens_become_rows_and_stay_with_their_item() {
    let config = source(fixture("formats.h5"), "tokens");
    let split = (0..).map(|seed| Split::new(seed, 0.4)).find(|s| {
        let held = (0..6).filter(|&i| s.is_held_out(i)).count();
        held == 2
    });
    let split = split.expect("some seed holds two out");
    let found = read(&config, RowView::Tokens, split.clone()).expect("ingest");
    assert_eq!(
        (found.width(), found.rows_per_item(), found.scan.rows),
        (4, 3, 18)
    );
    assert_eq!((found.scan.train_rows, found.scan.held_out_rows), (12, 6));
    found
        .for_each_block(Part::HeldOut, &mut |items, rows| {
            let held: Vec<usize> = (0..6).filter(|&i| split.is_held_out(i)).collect();
            assert_eq!(
                items,
                [held[0], held[0], held[0], held[1], held[1], held[1]]
            );
            assert_eq!(rows[4 * 4 + 1], value(held[1], 5));
            Ok(())
        })
        .expect("blocks");
    let flat = read(&config, RowView::Items, split.clone()).expect("ingest");
    assert_eq!((flat.width(), flat.scan.rows), (12, 6));
    assert!(
        message(read(
            &source(fixture("formats.h5"), "images"),
            RowView::Tokens,
            split
        ))
        .contains("expected features [N, D] or tokens")
    );
}

#[test]
fn held_out_rows_are_in_order_and_evenly_spread() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let rows: Vec<f32> = (0..5000).map(|i| i as f32).collect();
    let found = read(
        &features(dir.path(), 1, &rows),
        RowView::Items,
        Split::new(3, 0.2),
    )
    .expect("ingest");
    let all = found.some_rows(Part::HeldOut, 10_000).expect("rows");
    let expected: Vec<f32> = (0..5000)
        .filter(|&i| found.split.is_held_out(i))
        .map(|i| i as f32)
        .collect();
    assert_eq!(all, expected);
    let some = found.some_rows(Part::HeldOut, 10).expect("rows");
    assert_eq!(some.len(), 10);
    assert!(some.windows(2).all(|w| w[0] < w[1]));
    assert!(
        some[9] > 4000.0 && some.iter().all(|v| all.contains(v)),
        "{some:?}"
    );
}

#[test]
fn a_part_without_rows_is_refused_before_anything_trains() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let config = features(dir.path(), 1, &[1.0, 2.0]);
    let nothing_held = (0..)
        .map(|seed| Split::new(seed, 0.1))
        .find(|s| !s.is_held_out(0) && !s.is_held_out(1))
        .expect("some seed holds nothing out");
    let message = message(read(&config, RowView::Items, nothing_held));
    assert!(
        message.contains("0 held out") && message.contains("held_out.fraction"),
        "{message}"
    );
}

struct Listener {
    cancel: AtomicBool,
    progress: Mutex<Vec<(String, u64, u64)>>,
}

impl Monitor for Listener {
    fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
    fn progress(&self, task: &str, done: u64, total: u64, _: &str) {
        self.progress
            .lock()
            .expect("lock")
            .push((task.into(), done, total));
    }
    fn metrics(&self, _: u64, _: &[(&'static str, f64)]) {}
    fn table(&self, _: &str, table: &Table) -> Result<()> {
        assert!(
            table
                .columns
                .iter()
                .all(|c| matches!(c.1, Column::Float(_)))
        );
        Ok(())
    }
    fn warn(&self, _: &str) {}
}

#[test]
fn the_scan_reports_progress_and_can_be_cancelled() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let rows: Vec<f32> = normals(1, 3 << 20).iter().map(|&v| v as f32).collect();
    let config = features(dir.path(), 8, &rows);
    let listener = Listener {
        cancel: AtomicBool::new(false),
        progress: Mutex::new(Vec::new()),
    };
    let ingest = || {
        Ingest::read(
            &config,
            RowView::Items,
            Split::new(1, 0.1),
            false,
            &listener,
        )
    };
    ingest().expect("ingest");
    let total = (rows.len() / 8) as u64;
    let seen = listener.progress.lock().expect("lock").clone();
    assert!(seen.len() > 1);
    assert_eq!(seen.last(), Some(&("scan".to_owned(), total, total)));
    listener.cancel.store(true, Ordering::Relaxed);
    assert!(matches!(ingest(), Err(Error::Cancelled)));
}

#[test]
fn the_digest_is_of_the_values_in_their_order_and_of_nothing_else() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let rows: Vec<f32> = (0..100).map(|i| i as f32).collect();
    let digest = |width: usize, rows: &[f32], split: Split| {
        let source = features(dir.path(), width, rows);
        let found = read(&source, RowView::Items, split).expect("ingest");
        found.scan.digest
    };
    let first = digest(2, &rows, Split::new(1, 0.2));
    assert_eq!(first, digest(2, &rows, Split::new(2, 0.4)));
    assert_ne!(first, digest(4, &rows, Split::new(1, 0.2)));
    let mut swapped = rows.clone();
    swapped.swap(0, 2);
    assert_ne!(first, digest(2, &swapped, Split::new(1, 0.2)));
}
