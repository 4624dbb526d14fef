//! Whole runs on tiny inputs.

use crate::project::{Outcome, Project, signal, starting_with, wait_until};
use crate::tiny::{CONFIG, noise, project};
use std::process::Child;

/// Training that lasts longer than any test.
const FOREVER: [&str; 2] = ["--set", "pretrain_flow.steps=100000000"];

fn run(project: &Project, more: &[&str]) -> Outcome {
    let arguments: Vec<&str> = ["run", "tiny.yaml"].iter().chain(more).copied().collect();
    project.run(&arguments)
}

fn artifacts(project: &Project) -> Vec<Vec<String>> {
    ["pretrain-flow", "train-autoencoder", "estimate-nll"]
        .map(|stage| project.entries(&format!("artifacts/{stage}")))
        .to_vec()
}

#[test]
fn a_run_leaves_artifacts_a_summary_and_links() {
    let project = project();
    let first = run(&project, &[]);
    first.expect(0, &["never run", "# tiny", "## estimate-nll"]);
    assert!(
        first
            .stdout
            .ends_with("\nartifacts/runs/tiny\nartifacts/runs/tiny/report.html\n"),
        "{first}"
    );
    for stage in artifacts(&project) {
        assert_eq!(stage.len(), 1, "{stage:?}");
    }
    for file in [
        "config.yaml",
        "summary.md",
        "pretrain-flow/manifest.json",
        "pretrain-flow/metrics.parquet",
        "train-autoencoder/metrics.parquet",
        "estimate-nll/manifest.json",
    ] {
        let path = project.path("artifacts/runs/tiny").join(file);
        assert!(path.is_file(), "{file}");
    }
    project
        .run(&["show", "artifacts/runs/tiny/estimate-nll"])
        .expect(0, &["lineage", "features.h5"]);
    project
        .run(&["verify", "tiny"])
        .expect(0, &["verified: all 3"]);
}

#[test]
fn a_second_run_does_nothing_and_says_so() {
    let project = project();
    let first = run(&project, &[]);
    first.expect(0, &[]);
    let before = artifacts(&project);
    let second = run(&project, &[]);
    second.expect(0, &["Nothing to do", "up to date"]);
    assert_eq!(artifacts(&project), before);
    let summary = |o: &Outcome| o.stdout[o.stdout.find("# tiny").unwrap()..].to_owned();
    assert_eq!(summary(&first), summary(&second));
    // The resolved configuration is the same experiment.
    project
        .run(&["run", "artifacts/runs/tiny/config.yaml"])
        .expect(0, &["Nothing to do"]);
}

#[test]
fn a_changed_key_reruns_exactly_what_depends_on_it() {
    let project = project();
    run(&project, &[]).expect(0, &[]);
    let changed = run(&project, &["--set", "train_autoencoder.steps=21"]);
    changed.expect(
        0,
        &[
            "train_autoencoder.steps: 20 -> 21",
            "train-autoencoder changes",
        ],
    );
    let counts: Vec<usize> = artifacts(&project).iter().map(Vec::len).collect();
    assert_eq!(counts, [1, 2, 2]);
    // Back again: both results are still there.
    run(&project, &[]).expect(0, &["Nothing to do"]);
    run(&project, &["--set", "estimate_nll.points=9"]).expect(0, &["estimate_nll.points: 8 -> 9"]);
    let counts: Vec<usize> = artifacts(&project).iter().map(Vec::len).collect();
    assert_eq!(counts, [1, 2, 3]);
}

#[test]
fn experiments_share_a_flow() {
    let project = project();
    run(&project, &[]).expect(0, &[]);
    let other = run(
        &project,
        &[
            "--set",
            "name=other",
            "--set",
            "train_autoencoder.regulariser.kind=none",
        ],
    );
    other.expect(0, &["up to date"]);
    assert_eq!(project.entries("artifacts/pretrain-flow").len(), 1);

    let flow = project.entries("artifacts/pretrain-flow").remove(0);
    let given = CONFIG.replace("name: tiny", &format!("name: given\nflow: \"{flow}\""));
    let from = given.find("pretrain_flow:").unwrap();
    let to = given.find("train_autoencoder:").unwrap();
    let given = format!("{}{}", &given[..from], &given[to..]);
    project.write("given.yaml", given);
    project
        .run(&["run", "given.yaml"])
        .expect(0, &["given", "Nothing to do"]);
    project
        .run(&["run", "given.yaml", "--set", "train_autoencoder.steps=5"])
        .expect(0, &["# given"]);
}

#[test]
fn a_deleted_output_is_computed_again_and_what_follows_is_kept() {
    let project = project();
    run(&project, &[]).expect(0, &[]);
    let before = artifacts(&project);
    let flow = project.path("artifacts/runs/tiny/pretrain-flow");
    std::fs::remove_file(flow.join("metrics.parquet")).unwrap();
    let again = run(&project, &[]);
    again.expect(
        0,
        &[
            "metrics.parquet is missing",
            "pretrain-flow runs again",
            "turned out to be unchanged",
        ],
    );
    assert_eq!(artifacts(&project), before);
    run(&project, &[]).expect(0, &["Nothing to do"]);
}

/// Starts a run that lasts forever and waits until it trains.
fn start_training(project: &Project) -> Child {
    let arguments: Vec<&str> = ["run", "tiny.yaml"].into_iter().chain(FOREVER).collect();
    let mut child = project.spawn(&arguments);
    let folder = project.path("artifacts/pretrain-flow");
    wait_until("training", || {
        assert_eq!(child.try_wait().unwrap(), None, "the run ended");
        starting_with(&folder, ".tmp-").is_some_and(|t| t.join("metrics.parquet").exists())
    });
    child
}

#[test]
fn a_signal_stops_cleanly_and_says_how_to_go_on() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let project = project();
        let child = start_training(&project);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        let resume = "run tiny.yaml --set pretrain_flow.steps=100000000";
        assert!(stderr.contains(resume), "{stderr}");
        let left = project.entries("artifacts/pretrain-flow");
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(left[0].starts_with(".training-"), "{left:?}");
    }
}

#[test]
fn a_killed_run_leaves_no_artifact_and_the_next_cleans_up() {
    let project = project();
    let mut child = start_training(&project);
    child.kill().unwrap();
    child.wait().unwrap();
    let left = project.entries("artifacts/pretrain-flow");
    assert!(left.iter().all(|name| name.starts_with('.')), "{left:?}");
    let arguments: Vec<&str> = ["plan", "tiny.yaml"].into_iter().chain(FOREVER).collect();
    project.run(&arguments).expect(0, &["never run"]);
    run(&project, &[]).expect(0, &[]);
    assert_eq!(project.entries("artifacts/pretrain-flow").len(), 1);
}

#[test]
fn two_runs_at_once_compute_each_stage_once() {
    let project = project();
    let both = [(); 2].map(|()| project.spawn(&["run", "tiny.yaml"]));
    for child in both {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
    }
    for stage in artifacts(&project) {
        assert_eq!(stage.len(), 1, "{stage:?}");
    }
}

#[test]
fn logs_are_json_where_asked_for() {
    let project = project();
    let logged = run(&project, &["--log-format", "json", "-v"]);
    logged.expect(0, &[]);
    assert!(!logged.stderr.is_empty());
    let parsed = logged.stderr.lines().map(|line| {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"))
    });
    let parsed: Vec<serde_json::Value> = parsed.collect();
    let trained = parsed
        .iter()
        .find(|event| event["task"] == "training" && event["stage"] == "pretrain-flow");
    let trained = trained.unwrap_or_else(|| panic!("{logged}"));
    assert_eq!(
        (&trained["step"], &trained["steps"]),
        (&20.into(), &20.into())
    );
    assert!(
        trained["loss"].is_f64() && trained["rate"].is_f64(),
        "{trained}"
    );
    let quiet = Project::new();
    quiet.write("tiny.yaml", CONFIG);
    quiet.write_features("features.h5", "features", 400, 2, noise);
    quiet.write_features("vectors.h5", "vectors", 200, 4, noise);
    assert_eq!(run(&quiet, &["-q"]).stderr, "");
}

/// Exits with 2 and every one of `parts`, and nothing was trained.
#[track_caller]
fn refused(project: &Project, more: &[&str], parts: &[&str]) {
    run(project, more).expect(2, parts);
    for stage in artifacts(project) {
        assert_eq!(stage, [""; 0]);
    }
}

#[test]
fn features_that_are_not_finite_are_refused_before_training() {
    let project = project();
    project.write_features("features.h5", "features", 400, 2, |row, column| {
        if (row, column) == (17, 1) {
            f32::NAN
        } else {
            noise(row, column)
        }
    });
    refused(&project, &[], &["features.h5", "17"]);
}

#[test]
fn a_type_that_is_not_a_feature_is_refused_before_training() {
    let project = project();
    let values: Vec<i64> = (0..800).collect();
    project.write_dataset("features.h5", "features", &[400, 2], &values);
    refused(&project, &[], &["features.h5", "i64", "f32"]);
}

#[test]
fn a_shape_that_is_not_a_table_is_refused_before_training() {
    let project = project();
    let values = vec![0.5f32; 400];
    project.write_dataset("features.h5", "features", &[400], &values);
    refused(&project, &[], &["features.h5", "[400]"]);
    project.write_dataset::<f32>("features.h5", "features", &[0, 2], &[]);
    refused(&project, &[], &["features.h5"]);
}

#[test]
fn fewer_rows_than_a_batch_are_refused_before_training() {
    let project = project();
    refused(
        &project,
        &["--set", "pretrain_flow.batch=512"],
        &["features.h5", "batch (512)", "held-out rows", "test rows"],
    );
}

#[test]
fn bad_data_of_a_later_stage_is_found_before_the_first_trains() {
    let project = project();
    project.write_features("vectors.h5", "vectors", 200, 4, |_, _| f32::INFINITY);
    refused(&project, &[], &["vectors.h5"]);
    let wide = project.write_features("vectors.h5", "vectors", 200, 4, noise);
    refused(
        wide,
        &["--set", "train_autoencoder.latent.width=3"],
        &["width", "3", "2"],
    );
}

#[test]
fn a_missing_dataset_names_what_the_file_holds() {
    let project = project();
    project.write_features("features.h5", "feats", 400, 2, noise);
    refused(&project, &[], &["features.h5", "feats"]);
}

#[test]
fn a_file_that_is_not_hdf5_is_refused() {
    let project = project();
    project.write("features.h5", "not HDF5");
    refused(&project, &[], &["features.h5"]);
}

#[test]
fn a_device_that_is_not_there_is_one_clear_error() {
    let project = project();
    let missing = run(&project, &["--device", "cuda:99"]);
    missing.expect(1, &["cuda"]);
    assert!(missing.stderr.lines().count() <= 3, "{missing}");
}

#[test]
fn free_points_refuse_what_cannot_move_them() {
    let project = project();
    project.write(
        "points.yaml",
        "name: points\npretrain_flow:\n  features: {file: features.h5}\n  batch: 32\n  model: {kind: flow_matching, times: 8}\ntrain_autoencoder:\n  \
         architecture: {kind: points, count: 16}\n  latent: {width: 2, tokens: 3}\n  \
         regulariser: {kind: kl}\n",
    );
    project.run(&["run", "points.yaml"]).expect(
        2,
        &[
            "train_autoencoder.regulariser.kind",
            "train_autoencoder.posterior.kind",
            "train_autoencoder.latent.tokens",
        ],
    );
}

#[test]
fn images_out_of_range_are_refused_with_the_key_to_set() {
    let project = project();
    let image: Vec<u8> = (0..100 * 16).map(|i| (noise(i, 0) * 17.0) as u8).collect();
    project.write_dataset("images.h5", "images", &[100, 1, 4, 4], &image);
    let set = |value: &str| format!("train_autoencoder.data={value}");
    let small = set("{file: images.h5, dataset: images, maximum: 8}");
    run(&project, &["--set", &small]).expect(2, &["images.h5", "16", "maximum"]);
    let right = set("{file: images.h5, dataset: images, maximum: 16}");
    run(&project, &["--set", &right]).expect(0, &["PSNR"]);
    let picture = project.path("artifacts/runs/tiny/train-autoencoder/reconstructions.png");
    assert_eq!(&std::fs::read(picture).unwrap()[1..4], b"PNG");
}

#[test]
fn a_convolutional_autoencoder_with_a_gaussian_posterior_and_bernoulli_pixels_runs() {
    let project = project();
    let image: Vec<u8> = (0..100 * 35).map(|i| (noise(i, 0) * 256.0) as u8).collect();
    project.write_dataset("images.h5", "images", &[100, 1, 7, 5], &image);
    let mut arguments = Vec::new();
    for set in [
        "train_autoencoder.data={file: images.h5, dataset: images}",
        "train_autoencoder.architecture={kind: convolutional, channels: [4, 8]}",
        "train_autoencoder.latent={tokens: 3, width: 2}",
        "train_autoencoder.posterior={kind: gaussian}",
        "train_autoencoder.reconstruction=bernoulli",
        "train_autoencoder.regulariser={kind: kl, weight: 0.1}",
    ] {
        arguments.extend(["--set", set]);
    }
    run(&project, &arguments).expect(
        0,
        &[
            "held-out reconstruction loss",
            "KL to the prior, N(0, I) (nats)",
        ],
    );
    let plain = ["--set", "train_autoencoder.posterior=gaussian"];
    run(&project, &plain).expect(2, &["train_autoencoder.posterior", "{kind: ...}"]);
    let vectors = [
        "--set",
        "train_autoencoder.architecture={kind: convolutional}",
    ];
    run(&project, &vectors).expect(2, &["vectors.h5", "[N, C, H, W]", "dense"]);
}
