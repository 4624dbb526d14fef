//! Three parts: held-out rows select, test rows are shown; given parts; equal rows.

use crate::project::Project;
use crate::tiny::{CONFIG, noise, project};

/// The figures of test rows in the report of the run `tiny` and in its summary.
fn summary(project: &Project) -> String {
    std::fs::read_to_string(project.path("artifacts/runs/tiny/summary.md")).unwrap()
}

#[test]
fn figures_of_a_given_test_set_are_shown_beside_those_that_choose() {
    let project = project();
    let test: Vec<f32> = (0..30 * 4).map(|i| noise(7000 + i / 4, i % 4)).collect();
    project.add_dataset("vectors.h5", "test_vectors", &[30, 4], &test);
    let config = CONFIG.replace(
        "dataset: vectors}\n",
        "dataset: vectors}\n  test: {dataset: test_vectors}\n",
    );
    project.write("tiny.yaml", config);
    project.run(&["run", "tiny.yaml"]).expect(
        0,
        &[
            "held-out mean squared error",
            "test mean squared error",
            "test coverage of features",
            "test latents",
            "held-out latents",
        ],
    );
    let scan = project.path("artifacts/runs/tiny/train-autoencoder/scan.json");
    let scan = std::fs::read_to_string(scan).unwrap();
    assert!(scan.contains("\"test_rows\": 30"), "{scan}");
    let unlike = ["--set", "train_autoencoder.test.dataset=vectors"];
    let refused = project.run(&[&["run", "tiny.yaml"][..], &unlike].concat());
    refused.expect(2, &["test.dataset", "already another part"]);
}

#[test]
fn without_a_test_part_words_say_that_the_rows_also_chose() {
    let project = project();
    let config = CONFIG
        .replace(
            "dataset: vectors}\n",
            "dataset: vectors}\n  test: {fraction: 0}\n",
        )
        .replace("features.h5}\n", "features.h5}\n  test: {fraction: 0}\n");
    project.write("tiny.yaml", config);
    project.run(&["run", "tiny.yaml"]).expect(
        0,
        &[
            "there is no test part",
            "held-out features",
            "held-out latents",
        ],
    );
    let summary = summary(&project);
    assert!(!summary.contains("test mean squared error"), "{summary}");
    let page = std::fs::read_to_string(project.path("artifacts/runs/tiny/report.html")).unwrap();
    assert!(
        page.contains("held-out rows, which were also used for selection"),
        "no such words"
    );
}

#[test]
fn equal_rows_are_warned_of_and_recorded() {
    let project = project();
    project.write_features("vectors.h5", "vectors", 200, 4, |row, column| {
        noise(row % 150, column)
    });
    let run = project.run(&["run", "tiny.yaml", "--until", "train-autoencoder"]);
    run.expect(0, &["50 of 200 rows equal an earlier one", "vectors.h5"]);
    let scan = project.path("artifacts/runs/tiny/train-autoencoder/scan.json");
    let scan = std::fs::read_to_string(scan).unwrap();
    assert!(scan.contains("\"equal_rows\": 50"), "{scan}");
    project
        .run(&["show", "vectors.h5", "--rows", "0"])
        .expect(0, &["rows that equal an earlier one 50"]);
}

#[test]
fn a_sweep_chooses_by_held_out_rows_and_shows_test_rows() {
    let sweep = |figure: &str| {
        format!(
            "name: chosen\nbase: tiny.yaml\nset: {{estimate_nll: null}}\ngrid: \
             {{train_autoencoder.regulariser.weight: [0.1, 0.2]}}\nobjective: {{figure: \"{figure}\"}}\n"
        )
    };
    let project = project();
    let by_test = "train-autoencoder: test mean squared error";
    project.write("chosen.yaml", sweep(by_test));
    project.run(&["sweep", "chosen.yaml"]).expect(
        2,
        &[
            "objective.figure: found train-autoencoder: test mean squared error",
            "`train-autoencoder: held-out mean squared error`",
            "test rows are not used for selection",
        ],
    );
    project.write(
        "chosen.yaml",
        sweep("train-autoencoder: held-out mean squared error"),
    );
    project.run(&["sweep", "chosen.yaml"]).expect(
        0,
        &[
            "best: weight",
            "(train-autoencoder: test mean squared error ",
        ],
    );
    project
        .run(&["show", "chosen", "--objective"])
        .expect(0, &["test mean squared error"]);
    project
        .run(&["show", "chosen", "--objective", by_test])
        .expect(2, &["--objective", "test rows are not used for selection"]);
}
