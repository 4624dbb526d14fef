//! `score`: every row under the flow, as `estimate-nll` scores regions.

use super::{UNALIGNED, check_kills, dataset, finished, refused};
use crate::project::Project;
use crate::tiny::{self, noise};
use polars::prelude::{DataFrame, ParquetReader, SerReader as _};
use std::fs::File;
use std::path::Path;

fn table(file: &Path) -> DataFrame {
    ParquetReader::new(File::open(file).unwrap())
        .finish()
        .unwrap()
}

fn floats(table: &DataFrame, name: &str) -> Vec<f64> {
    let column = table.column(name).unwrap();
    column.f64().unwrap().into_no_null_iter().collect()
}

#[track_caller]
fn near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance, "{a} {b}");
    }
}

/// The tolerance of the runs' NLLs in nats.
const TOLERANCE: f64 = 0.01;

/// Points of every region of the run, scored by `estimate-nll`, and again as rows of a file. Fails if the
/// two computations differ: other draws, another tolerance or precision, normalisation applied twice.
#[test]
fn the_points_of_estimate_nll_are_scored_as_it_did() {
    let project = tiny::plane();
    project.run(&["run", "tiny.yaml"]).expect(0, &["# tiny"]);
    let own = table(&project.path("artifacts/runs/tiny/estimate-nll/points.parquet"));
    let axes = ["y0", "y1"].map(|axis| floats(&own, axis));
    let points: Vec<f32> = (0..own.height())
        .flat_map(|i| [axes[0][i] as f32, axes[1][i] as f32])
        .collect();
    assert!(own.height() > 30, "{}", own.height());
    project.write_dataset("points.h5", "points", &[own.height(), 2], &points);
    let out = ["--out", "scores.parquet"];
    let score = [&["score", "tiny", "points.h5", "--latents"], &out[..]].concat();
    let told = project.run(&score);
    told.expect(
        0,
        &[
            "all points",
            "mean NLL, ODE",
            "points of the flow, unchanged",
        ],
    );
    let scores = table(&project.path("scores.parquet"));
    assert_eq!(scores.height(), own.height());
    for (column, tolerance) in [
        ("nll_ode", TOLERANCE),
        ("loss_uniform", 1e-4),
        ("loss_uniform_error", 1e-4),
        ("loss_likelihood", 1e-3),
        ("loss_likelihood_error", 1e-3),
    ] {
        let expected = floats(&own, column);
        near(&floats(&scores, column), &expected, tolerance);
        let spread = expected.iter().fold(0.0f64, |most, v| most.max(v.abs()));
        assert!(spread > 10.0 * tolerance, "{column}: {spread}");
    }
}

/// Fails if the normalisation is not applied, or its log-determinant has a wrong sign.
#[test]
fn features_are_normalised_and_have_a_density_of_their_own() {
    let project = finished(&[]);
    let flow = project.path("artifacts/runs/tiny/pretrain-flow");
    let score = |more: &[&str]| {
        let command = [&["score", "tiny"], more, &["--out", "a.parquet", "--force"]].concat();
        project.run(&command).expect(0, &["rows/s"]);
        table(&project.path("a.parquet"))
    };
    let of_features = score(&["features.h5"]);
    assert_eq!(of_features.height(), 400);
    let test = flow.join("test.h5");
    let of_points = score(&[test.to_str().unwrap(), "--latents", "--dataset", "points"]);
    let items = hdf5::File::open(&test).unwrap().dataset("items").unwrap();
    let items: Vec<i64> = items.read_raw().unwrap();
    let all = floats(&of_features, "nll_ode");
    let same: Vec<f64> = items.iter().map(|&item| all[item as usize]).collect();
    near(&floats(&of_points, "nll_ode"), &same, TOLERANCE);
    // uniform in [0, 1]^2 before, of unit variance after
    let shift: Vec<f64> = (floats(&of_features, "nll_feature_space").iter())
        .zip(&all)
        .map(|(feature, point)| feature - point)
        .collect();
    let expected = 2.0 * (1.0f64 / 12.0).sqrt().ln();
    near(&shift, &vec![expected; shift.len()], 0.1);

    // tokens [N, T, D] are points of one row
    let (_, values) = dataset(&project.path("features.h5"), "features");
    project.write_dataset("tokens.h5", "tokens", &[100, 4, 2], &values);
    let of_tokens = score(&["tokens.h5"]);
    near(&floats(&of_tokens, "nll_ode"), &all, TOLERANCE);
    let groups = of_tokens.column("group").unwrap();
    let groups: Vec<i64> = groups.i64().unwrap().into_no_null_iter().collect();
    assert_eq!(groups, Vec::from_iter((0..400).map(|point| point / 4)));
}

#[test]
fn a_scoring_killed_at_any_operation_goes_on_to_the_same_file() {
    let project = finished(&[]);
    project.write_features("many.h5", "features", 2500, 2, noise);
    let command = [
        "score",
        "tiny",
        "many.h5",
        "--out",
        "out/a.parquet",
        "--tolerance",
        "0.1",
    ];
    check_kills(&project, &command, "a.parquet");
}

#[test]
fn rows_that_a_flow_cannot_score_are_refused_in_one_message() {
    let project = finished(&[UNALIGNED]);
    let score = |more: &[&str]| -> Vec<String> {
        let command = [&["score", "tiny"], more, &["--out", "a.parquet"]].concat();
        command.iter().map(|&word| word.to_owned()).collect()
    };
    let refused = |more: &[&str], parts: &[&str]| {
        let command = score(more);
        refused(
            &project,
            &Vec::from_iter(command.iter().map(String::as_str)),
            parts,
        );
    };
    project.write_features("bad.h5", "features", 20, 3, noise);
    let expected = "expected features [N, 2] or tokens [N, T, 2]";
    refused(
        &["bad.h5"],
        &["/features [20, 3] f32 in bad.h5", expected, "--latents"],
    );
    project.write_features("bad.h5", "features", 20, 2, |i, _| 1.0 / i as f32);
    refused(&["bad.h5"], &["bad.h5", "found inf in row 0"]);
    project.write_dataset("bad.h5", "features", &[20, 2], &[1i64; 40]);
    refused(&["bad.h5"], &["bad.h5", "holds i64"]);
    refused(
        &["features.h5", "--tolerance", "5"],
        &["tolerance: found 5"],
    );
    refused(&["features.h5", "--draws", "3"], &["draws: found 3"]);
    refused(
        &["features.h5", "--condition", "1"],
        &["--condition", "trained without"],
    );

    // an unaligned run asked for aligned latents
    let encode = ["encode", "tiny", "vectors.h5", "--out", "latents.h5"];
    project.run(&encode).expect(0, &[]);
    let latents = ["latents.h5", "--latents"];
    refused(
        &latents,
        &["latents.h5", "aligned with no flow", "--unaligned"],
    );
    let compared = score(&[&latents[..], &["--unaligned"]].concat());
    let compared: Vec<&str> = compared.iter().map(String::as_str).collect();
    project.run(&compared).expect(0, &["200 points"]);
}

/// A run of a flow that is conditioned on 3 classes.
pub fn of_classes() -> Project {
    let project = Project::new();
    project.write_features("classes.h5", "features", 600, 2, |i, j| {
        noise(i, j) + 4.0 * (i % 3) as f32
    });
    let labels: Vec<i64> = (0..600).map(|i| i % 3).collect();
    project.add_dataset("classes.h5", "labels", &[600], &labels);
    project.write(
        "classes.yaml",
        "name: classes\npretrain_flow:\n  features: {file: classes.h5}\n  model: {kind: coupling, layers: 4, \
         width: 16, depth: 1}\n  condition: {dataset: labels}\n  optimiser: {learning_rate: 3.0e-3}\n  steps: 600\n  batch: 128\n  \
         evaluation_points: 64\n  samples: 16\n  nll_points: 8\n",
    );
    project
        .run(&["run", "classes.yaml"])
        .expect(0, &["# classes"]);
    project
}

/// Fails if conditions are ignored, or are of other rows.
#[test]
fn rows_are_scored_under_their_conditions() {
    let project = of_classes();
    let mean = |more: &[&str]| {
        let command = [
            "score",
            "classes",
            "classes.h5",
            "--out",
            "a.parquet",
            "--force",
        ];
        let done = project.run(&[&command[..], more].concat());
        done.expect(0, &["exact"]);
        let scores = floats(&table(&project.path("a.parquet")), "nll_exact");
        (
            scores.iter().sum::<f64>() / scores.len() as f64,
            done.stderr,
        )
    };
    let (own, _) = mean(&["--condition", "classes.h5"]);
    let (none, told) = mean(&[]);
    assert!(told.contains("scores under none"), "{told}");
    let shifted: Vec<i64> = (0..600).map(|i| (i + 1) % 3).collect();
    project.write_dataset("shifted.h5", "labels", &[600], &shifted);
    let (other, _) = mean(&["--condition", "shifted.h5"]);
    let (first, _) = mean(&["--condition", "0"]);
    assert!(
        own + 0.3 < none && own + 1.0 < first && first < other,
        "{own} {none} {first} {other}"
    );

    let refused = |condition: &str, parts: &[&str]| {
        let score = [
            "score",
            "classes",
            "classes.h5",
            "--condition",
            condition,
            "--out",
            "b.parquet",
        ];
        refused(&project, &score, parts);
    };
    refused("3", &["--condition", "found the class 3", "labels 0 to 2"]);
    let wrong: Vec<i64> = (0..600).map(|i| if i == 17 { 9 } else { 1 }).collect();
    project.write_dataset("wrong.h5", "labels", &[600], &wrong);
    refused(
        "wrong.h5",
        &["`labels` in wrong.h5: found 9 at row 17", "0 to 2"],
    );
    project.write_dataset("short.h5", "labels", &[60], &[1i64; 60]);
    refused("short.h5", &["conditions of 60 rows", "600 rows"]);
}
