//! `encode`, `decode`, `sample` and `score`: a run's networks applied to new rows.

mod decoding;
mod fine_tuning;
mod measured;
mod sample_stage;
mod sampling;
mod scoring;
mod transport;

use crate::faults::library;
use crate::project::{Outcome, Project, output};
use crate::tiny::{self, noise};
use std::path::Path;
use std::process::Command;

/// A finished run `tiny` with some settings replaced.
fn finished(changes: &[(&str, &str)]) -> Project {
    let project = tiny::project();
    let config = (changes.iter()).fold(tiny::CONFIG.to_owned(), |config, (from, to)| {
        assert!(config.contains(from), "{from}");
        config.replace(from, to)
    });
    project.write("tiny.yaml", config);
    project.run(&["run", "tiny.yaml"]).expect(0, &["# tiny"]);
    project
}

/// With a noisy posterior.
const GAUSSIAN: (&str, &str) = (
    "regulariser: {kind: alignment, weight: 0.1, draws: 2}",
    "posterior: {kind: gaussian}\n  regulariser: {kind: flow_kl, weight: 0.1, draws: 2}",
);
/// Without a regulariser.
const UNALIGNED: (&str, &str) = (
    "regulariser: {kind: alignment, weight: 0.1, draws: 2}",
    "regulariser: {kind: none}",
);

/// The shape and the numbers of a dataset.
fn dataset(file: &Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    let file = hdf5::File::open(file).unwrap();
    let dataset = file.dataset(name).unwrap();
    (dataset.shape(), dataset.read_raw().unwrap())
}

/// A text attribute of a dataset.
fn attribute(file: &Path, dataset: &str, name: &str) -> Option<String> {
    let file = hdf5::File::open(file).unwrap();
    let attribute = file.dataset(dataset).unwrap().attr(name).ok()?;
    let text: hdf5::types::VarLenUnicode = attribute.read_scalar().unwrap();
    Some(text.to_string())
}

/// The latents, or means, that the run itself wrote for its test part, and their items.
fn own(project: &Project, what: &str) -> (Vec<f32>, Vec<usize>) {
    let file = project.path("artifacts/runs/tiny/train-autoencoder/latents.h5");
    let (_, values) = dataset(&file, &format!("test_{what}"));
    let items = hdf5::File::open(&file)
        .unwrap()
        .dataset("test_items")
        .unwrap();
    let items = items.read_raw::<i64>().unwrap();
    (values, items.iter().map(|&item| item as usize).collect())
}

/// The rows `items`, of `width` numbers each.
fn rows(values: &[f32], width: usize, items: &[usize]) -> Vec<f32> {
    let row = |&i: &usize| values[i * width..(i + 1) * width].to_vec();
    items.iter().flat_map(row).collect()
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{a} {b}");
    }
}

/// Fails if data is not divided by its maximum, rows are mixed up, or the fingerprint of another stage is
/// reported.
#[test]
fn rows_become_the_latents_that_the_run_itself_wrote() {
    let project = finished(&[]);
    let out = project.path("latents.h5");
    let done = project.run(&["encode", "tiny", "vectors.h5", "--out", "latents.h5"]);
    done.expect(
        0,
        &[
            "/latents [200, 1, 2] f32",
            "points of the flow",
            "peak memory",
        ],
    );
    let (shape, latents) = dataset(&out, "latents");
    assert_eq!(shape, [200, 1, 2]);
    let (expected, items) = own(&project, "latents");
    assert_near(&rows(&latents, 2, &items), &expected, 1e-5);
    let [flow, autoencoder] = ["pretrain-flow", "train-autoencoder"].map(|stage| {
        project
            .entries(&format!("artifacts/{stage}"))
            .swap_remove(0)
    });
    let told = |name: &str| attribute(&out, "latents", name);
    assert_eq!(told("flow"), Some(flow));
    assert_eq!(told("autoencoder"), Some(autoencoder.clone()));
    assert_eq!(told("space").unwrap(), "points of the flow");
    assert!(told("units").is_some() && told("meaning").is_some());
    assert!(!project.path("latents.h5.partial").exists());

    // a run, its folder, an artifact's folder and the start of a fingerprint name the same networks
    let whole = std::fs::read(&out).unwrap();
    let artifact = format!("artifacts/train-autoencoder/{autoencoder}");
    for run in ["artifacts/runs/tiny", &artifact, &autoencoder[..6]] {
        project
            .run(&["encode", run, "vectors.h5", "--out", "latents.h5"])
            .expect(2, &["latents.h5: found a file, expected none", "--force"]);
        let again = project.run(&[
            "encode",
            run,
            "vectors.h5",
            "--out",
            "latents.h5",
            "--force",
        ]);
        again.expect(0, &["200 rows"]);
        assert_eq!(std::fs::read(&out).unwrap(), whole, "{run}");
    }
}

/// Fails if means and draws are exchanged, or draws do not depend on the seed alone.
#[test]
fn a_posterior_with_noise_has_means_and_draws() {
    let project = finished(&[GAUSSIAN]);
    let encode = |out: &str, more: &[&str]| {
        let command = ["encode", "tiny", "vectors.h5", "--out", out];
        project.run(&[&command[..], more].concat()).expect(0, &[]);
        project.path(out)
    };
    let both = encode("both.h5", &["--latents", "both"]);
    let (_, means) = dataset(&both, "means");
    let (_, draws) = dataset(&both, "latents");
    let (expected, items) = own(&project, "means");
    assert_near(&rows(&means, 2, &items), &expected, 1e-5);
    assert!(means.iter().zip(&draws).all(|(a, b)| a != b));
    let alone = encode("means.h5", &[]);
    assert_eq!(dataset(&alone, "means").1, means);
    assert!(
        hdf5::File::open(&alone)
            .unwrap()
            .dataset("latents")
            .is_err()
    );
    let alone = encode("draws.h5", &["--latents", "draws"]);
    assert_eq!(dataset(&alone, "latents").1, draws);
    let other = encode("other.h5", &["--latents", "draws", "--seed", "1"]);
    assert_ne!(dataset(&other, "latents").1, draws);
}

#[test]
fn latents_of_an_unaligned_run_say_that_they_are_of_no_flow() {
    let project = finished(&[UNALIGNED]);
    project
        .run(&["encode", "tiny", "vectors.h5", "--out", "latents.h5"])
        .expect(0, &["aligned with no flow"]);
    let out = project.path("latents.h5");
    assert_eq!(attribute(&out, "latents", "flow"), None);
    let space = attribute(&out, "latents", "space").unwrap();
    assert!(space.contains("no flow"), "{space}");
}

/// A command whose operations below `out` are counted by the library, which kills it at operation `at`.
fn killed(project: &Project, command: &[&str], at: u64) -> (Outcome, u64) {
    let mut command: Command = project.command(command);
    command
        .env("LD_PRELOAD", library())
        .env("FAULT_BELOW", project.path("out"))
        .env("FAULT_AT", at.to_string())
        .env("FAULT_KILL", "1")
        .env("FAULT_COUNT", project.path("count"));
    let outcome = Outcome::of(output(&mut command).unwrap());
    let count = std::fs::read_to_string(project.path("count")).unwrap_or_default();
    (outcome, count.parse().unwrap_or(0))
}

/// Kills `command`, which writes `out/NAME`, at some of its operations there: after each kill the file is
/// absent or complete, and the same command finishes normally.
#[track_caller]
fn check_kills(project: &Project, command: &[&str], name: &str) {
    let folder = project.path("out");
    std::fs::create_dir_all(&folder).unwrap();
    let out = folder.join(name);
    let (undisturbed, count) = killed(project, command, 0);
    undisturbed.expect(0, &[]);
    let whole = std::fs::read(&out).unwrap();
    std::fs::remove_file(&out).unwrap();
    assert!(count > 8, "{count} operations");
    let mut goes_on = 0;
    // one in a few; `LATENT_ALIGN_FULL=1` (`make faults`) takes every one
    let stride = match std::env::var_os("LATENT_ALIGN_FULL") {
        Some(_) => 1,
        None => 3,
    };
    for at in (1..=count).step_by(stride) {
        let (outcome, _) = killed(project, command, at);
        assert_eq!(outcome.code, None, "operation {at} of {count}: {outcome}");
        match out.exists() {
            false => {
                let again = project.run(command);
                again.expect(0, &[]);
                goes_on += u64::from(again.stderr.contains("resuming after"));
            }
            // killed between the file's rename and the removal of its temporary data, which the next command
            // removes
            true => {
                assert_eq!(
                    std::fs::read(&out).unwrap(),
                    whole,
                    "operation {at} of {count}"
                );
                let anew = [command, &["--force"]].concat();
                project.run(&anew).expect(0, &[]);
            }
        }
        assert_eq!(
            std::fs::read(&out).unwrap(),
            whole,
            "operation {at} of {count}"
        );
        std::fs::remove_file(&out).unwrap();
        let left = project.entries("out");
        assert!(left.is_empty(), "operation {at} of {count}: {left:?}");
    }
    assert!(goes_on > 1, "{goes_on} of {count} went on");
}

/// Fails if existing rows are computed again, if a row is missing or repeated, or an incomplete file has the
/// final name.
#[test]
fn an_encoding_killed_at_any_operation_goes_on_to_the_same_file() {
    let project = finished(&[GAUSSIAN]);
    project.write_features("many.h5", "vectors", 20_000, 4, noise);
    let command = [
        "encode",
        "tiny",
        "many.h5",
        "--out",
        "out/a.h5",
        "--latents",
        "both",
    ];
    check_kills(&project, &command, "a.h5");
}

/// Fails if rows of two commands are mixed in one file.
#[test]
fn rows_of_another_command_are_not_gone_on_with() {
    let project = finished(&[GAUSSIAN]);
    project.write_features("many.h5", "vectors", 20_000, 4, noise);
    std::fs::create_dir(project.path("out")).unwrap();
    let encode = ["encode", "tiny", "many.h5", "--out", "out/a.h5"];
    let (_, count) = killed(&project, &encode, 0);
    std::fs::remove_file(project.path("out/a.h5")).unwrap();
    let (outcome, _) = killed(&project, &encode, count / 2);
    assert_eq!(outcome.code, None, "{outcome}");
    let other = [&encode[..], &["--seed", "1"]].concat();
    project
        .run(&other)
        .expect(2, &["out/a.h5.partial", "seed: 0, now 1", "--force"]);
    project.write_features("many.h5", "vectors", 20_000, 4, |i, j| noise(i + 1, j));
    project.run(&encode).expect(2, &["input: "]);
    project
        .run(&[&encode[..], &["--force"]].concat())
        .expect(0, &["20000 rows"]);
    assert_eq!(project.entries("out"), ["a.h5"]);
}

/// One message that names the file, the finding and the remedy; nothing is written.
#[track_caller]
fn refused(project: &Project, command: &[&str], parts: &[&str]) {
    let before = project.entries(".");
    let outcome = project.run(command);
    outcome.expect(2, parts);
    let messages = outcome.stderr.matches("error:").count();
    assert_eq!(messages, 1, "{outcome}");
    assert_eq!(project.entries("."), before, "{outcome}");
}

#[test]
fn data_that_an_autoencoder_cannot_take_is_refused_in_one_message() {
    let project = finished(&[]);
    let file = "bad.h5";
    let encode = ["encode", "tiny", file, "--out", "latents.h5"];
    refused(&project, &encode, &["bad.h5: no such file"]);
    project.write(file, "not HDF5");
    refused(&project, &encode, &["bad.h5 is not an HDF5 file"]);
    project.write_features(file, "vectors", 20, 5, noise);
    let expected = "found items of shape [5], expected rows of 4 numbers";
    refused(
        &project,
        &encode,
        &["/vectors [20, 5] f32 in bad.h5", expected],
    );
    project.write_features(file, "vectors", 20, 4, |i, j| match (i, j) {
        (17, 3) => f32::NAN,
        _ => noise(i, j),
    });
    refused(
        &project,
        &encode,
        &["bad.h5", "found NaN in row 17, number 3"],
    );
    project.write_dataset(file, "vectors", &[20, 4], &[1i32; 80]);
    refused(&project, &encode, &["bad.h5", "holds i32", "astype"]);
    project.write_features(file, "others", 20, 4, noise);
    project.add_dataset(file, "more", &[20, 4], &[0.5f32; 80]);
    refused(
        &project,
        &encode,
        &["bad.h5", "`/others` [20, 4] f32", "--dataset"],
    );
    let named = [&encode[..], &["--dataset", "other"]].concat();
    refused(&project, &named, &["expected `other`"]);

    refused(
        &project,
        &["encode", "tinyy", file, "--out", "a.h5"],
        &["did you mean `tiny`?"],
    );
    let flow = project.entries("artifacts/pretrain-flow").swap_remove(0);
    let of_flow = ["encode", &flow, "vectors.h5", "--out", "a.h5"];
    refused(
        &project,
        &of_flow,
        &["found no autoencoder", "train_autoencoder"],
    );
    let nowhere = ["encode", "tiny", "vectors.h5", "--out", "no/a.h5"];
    refused(&project, &nowhere, &["no/a.h5", "there is no folder"]);
}

/// A run that was trained on images of 3 x 4 x 5 numbers of the type of `values`.
fn of_images<T: hdf5::H5Type>(values: &[T]) -> Project {
    let project = tiny::project();
    project.write_dataset("images.h5", "images", &[100, 3, 4, 5], values);
    let vectors = "{file: vectors.h5, dataset: vectors}";
    project.write(
        "tiny.yaml",
        tiny::CONFIG.replace(vectors, "{file: images.h5}"),
    );
    project.run(&["run", "tiny.yaml"]).expect(0, &["# tiny"]);
    project
}

/// Fails if data of another range, or with its channels last, is encoded without an error.
#[test]
fn images_of_another_range_or_order_are_refused() {
    let real: Vec<f32> = (0..6000).map(|i| noise(i, 0)).collect();
    let bytes: Vec<u8> = real.iter().map(|v| (v * 255.0) as u8).collect();
    let file = "bad.h5";
    let encode = ["encode", "tiny", file, "--out", "latents.h5"];

    let project = of_images(&bytes);
    project.write_dataset(file, "images", &[100, 3, 4, 5], &real);
    refused(
        &project,
        &encode,
        &["values of at most 0.9", "expected up to 255", "multiply"],
    );
    let large: Vec<f32> = real.iter().map(|v| v * 300.0).collect();
    project.write_dataset(file, "images", &[100, 3, 4, 5], &large);
    refused(&project, &encode, &["bad.h5", "expected 0 to 255"]);
    project.write_dataset(file, "images", &[100, 4, 5, 3], &bytes);
    refused(
        &project,
        &encode,
        &["found items of shape [4, 5, 3]", "x.transpose(0, 3, 1, 2)"],
    );
    let right: Vec<f32> = bytes.iter().map(|&v| f32::from(v)).collect();
    project.write_dataset(file, "images", &[100, 60], &right);
    project.run(&encode).expect(0, &["/latents [100, 1, 2]"]);
    let (expected, items) = own(&project, "latents");
    let (_, latents) = dataset(&project.path("latents.h5"), "latents");
    assert_near(&rows(&latents, 2, &items), &expected, 1e-5);

    let project = of_images(&real);
    project.write_dataset(file, "images", &[100, 3, 4, 5], &bytes);
    refused(
        &project,
        &encode,
        &["u8", "expected 0 to 1,", "divide it by 255"],
    );
}
