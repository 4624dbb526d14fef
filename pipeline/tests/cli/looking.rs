//! `metrics` of a real run, and `inspect` of HDF5 files of any content.

use crate::{project::Project, tiny};
use std::str::FromStr as _;

#[test]
fn learning_curves_are_tables_and_charts() {
    let project = tiny::project();
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    let table = project.run(&[
        "show",
        "tiny",
        "--curves",
        "--format",
        "json",
        "--stage",
        "pretrain-flow",
    ]);
    let rows: serde_json::Value = serde_json::from_str(&table.stdout).unwrap();
    let rows = rows.as_array().unwrap();
    assert!(rows.iter().all(|row| row["stage"] == "pretrain-flow"));
    assert_eq!(rows.last().unwrap()["step"], 20);
    let chart = project.run(&["show", "tiny", "--curves", "--chart"]);
    chart.expect(
        0,
        &["pretrain-flow:", "train-autoencoder:", "held-out", "step"],
    );
    let widest = chart.stdout.lines().map(|line| line.chars().count()).max();
    assert!(widest.unwrap() <= 80, "{chart}");
    project
        .run(&["show", "tiny", "--curves", "--metric", "los"])
        .expect(2, &["--metric"]);
    project
        .run(&["show", "tiny", "--curves", "--stage", "train"])
        .expect(2, &["--stage", "train-autoencoder"]);
    project.run(&["list"]).expect(0, &["tiny", "finished"]);
    project
        .run(&["show", "tiny"])
        .expect(0, &["tiny: finished", "pretrain_flow.steps", "summary.md"]);
    let shown = project.run(&["show", "tiny"]).stdout;
    assert!(!shown.contains("pretrain_flow.optimiser"), "{shown}");
    project.run(&["clean"]).expect(0, &["nothing to delete"]);
    project.write("artifacts/runs/tiny/run.json", "{");
    project
        .run(&["show", "tiny", "--curves"])
        .expect(0, &["pretrain-flow"]);
}

#[test]
fn an_hdf5_file_is_shown_whatever_it_holds() {
    let project = Project::new();
    project.write_features("all.h5", "features", 50, 3, |row, column| {
        (row * 3 + column) as f32
    });
    project.add_dataset("all.h5", "labels", &[4], &[7i64, 1 << 60, -1, 3]);
    project.add_dataset("all.h5", "flags", &[2], &[true, false]);
    project.add_dataset("all.h5", "cube", &[2, 2, 2, 2, 2], &[1u16; 32]);
    project.add_dataset("all.h5", "empty", &[0], &[0f64; 0]);
    project.add_dataset("all.h5", "bad", &[3], &[1.5f64, f64::NAN, f64::INFINITY]);
    let words = ["one", "two, three"].map(|w| hdf5::types::VarLenUnicode::from_str(w).unwrap());
    project.add_dataset("all.h5", "words", &[2], &words);
    let outcome = project.run(&["show", "all.h5", "--rows", "2"]);
    outcome.expect(
        0,
        &[
            "/features",
            "50 rows of width 3",
            "[1] 3, 4, 5",
            "[1] 1152921504606846976",
            "i64",
            "min -1",
            "[0] true",
            "mean 0.5000",
            "32 finite numbers",
            "u16",
            "0 finite numbers",
            "NaN 1, infinite 1; mean 1.5000",
            "[1] two, three",
        ],
    );
    assert!(!outcome.stdout.contains("\n  [2] "), "{outcome}");
    let kept = ["show", "all.h5", "--rows", "2", "--out", "page.txt"];
    let told = project.run(&kept);
    told.expect(0, &["page.txt"]);
    assert_eq!(told.stdout, "");
    let page = std::fs::read_to_string(project.path("page.txt")).unwrap();
    assert_eq!(page, outcome.stdout);
    project
        .run(&["show", "all.h5", "--format", "json"])
        .expect(2, &["--format json", "an HDF5 file", "a page of text"]);
    let one = project.run(&["show", "all.h5", "--dataset", "labels"]);
    one.expect(0, &["[2] -1"]);
    assert!(!one.stdout.contains("rows of width"), "{one}");
    project
        .run(&["show", "all.h5", "--dataset", "label"])
        .expect(2, &["labels"]);
    project.write(
        "cut.h5",
        &std::fs::read(project.path("all.h5")).unwrap()[..600],
    );
    project
        .run(&["show", "cut.h5"])
        .expect(2, &["truncated or damaged"]);
    let scanned = project.run(&["show", "all.h5", "--rows", "0"]);
    scanned.expect(0, &["50 rows of width 3"]);
    assert!(!scanned.stdout.contains("\n  [0] "), "{scanned}");
}
