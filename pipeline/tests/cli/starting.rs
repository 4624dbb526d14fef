//! `init`: from a user's HDF5 file to an experiment that runs.

use crate::project::{Outcome, Project};
use crate::tiny::{self, noise};

/// Settings that make any experiment run in a second.
pub const TINY: [&str; 14] = [
    "pretrain_flow.steps=10",
    "pretrain_flow.batch=32",
    "pretrain_flow.model={kind: flow_matching, network: {width: 8, blocks: 1, frequencies: 8}, times: 8}",
    "pretrain_flow.evaluation_points=32",
    "pretrain_flow.nll_points=4",
    "pretrain_flow.samples=8",
    "train_autoencoder.steps=10",
    "train_autoencoder.batch=16",
    "estimate_nll.points=8",
    "estimate_nll.draws=192",
    "estimate_nll.box_points=0",
    "estimate_nll.grid_cells=0",
    "estimate_nll.gradient_points=0",
    "estimate_nll.check_points=0",
];

fn run_tiny(project: &Project, file: &str, more: &[&str]) {
    let mut arguments = vec!["run", file];
    for setting in TINY.iter().chain(more) {
        arguments.extend(["--set", setting]);
    }
    project.run(&arguments).expect(0, &["estimate-nll"]);
}

/// Lines of the file that start with a word of `lines`.
fn has(project: &Project, file: &str, lines: &[&str]) {
    let text = std::fs::read_to_string(project.path(file)).unwrap();
    for line in lines {
        assert!(
            text.lines().any(|l| l.trim().starts_with(line)),
            "{line} is missing from\n{text}"
        );
    }
    assert!(text.lines().all(|l| l.chars().count() <= 120), "{text}");
}

#[test]
fn wide_features_and_images_become_an_experiment_that_plans_and_runs() {
    let project = Project::new();
    project.write_features("my words.h5", "embeddings", 400, 80, noise);
    let images: Vec<u8> = (0..200 * 64).map(|i| (noise(i, 0) * 16.99) as u8).collect();
    project.write_dataset("digits.h5", "images", &[200, 1, 8, 8], &images);
    project
        .run(&["init", "my words.h5", "--data", "digits.h5"])
        .expect(
            0,
            &[
                "my-words.yaml: written",
                "latent-align run my-words.yaml --quick",
            ],
        );
    has(
        &project,
        "my-words.yaml",
        &[
            "# yaml-language-server: $schema=latent-align.schema.json",
            "name: my-words",
            "# Found /embeddings [400, 80] f32: 400 rows of width 80, all finite, no column constant.",
            "features: {file: \"my words.h5\", dataset: embeddings}",
            "projection: {kind: random, width: 16}",
            "# Found /images [200, 1, 8, 8] u8: 200 rows of 64 numbers, all finite, from 0 to 16.",
            "data: {file: digits.h5, dataset: images, maximum: 16.0}",
            "latent: {tokens: 2, width: 16}",
        ],
    );
    let schema = std::fs::read_to_string(project.path("latent-align.schema.json")).unwrap();
    assert_eq!(schema, project.run(&["config", "--schema"]).stdout);
    project
        .run(&["plan", "my-words.yaml"])
        .expect(0, &["3 stages would run"]);
    run_tiny(&project, "my-words.yaml", &[]);
}

#[test]
fn images_in_the_same_file_are_encoded() {
    let project = Project::new();
    project.write_features("both.h5", "features", 300, 4, noise);
    let images: Vec<f32> = (0..100 * 256).map(|i| noise(i, 1)).collect();
    project.add_dataset("both.h5", "pictures", &[100, 1, 16, 16], &images);
    project
        .run(&["init", "both.h5", "--out", "b.yaml", "--no-schema"])
        .expect(0, &[]);
    assert!(!project.path("latent-align.schema.json").exists());
    has(
        &project,
        "b.yaml",
        &[
            "# both.h5: a first experiment",
            "architecture: {kind: convolutional, channels: [32]}",
            "latent: {tokens: 8, width: 4}",
        ],
    );
    project
        .run(&["plan", "b.yaml"])
        .expect(0, &["3 stages would run"]);
}

#[test]
fn a_plane_without_data_moves_free_points() {
    let project = Project::new();
    let generated = ["generate", "moons", "--out", "moons.h5", "--count", "500"];
    project.run(&generated).expect(0, &[]);
    project.run(&["init", "moons.h5"]).expect(0, &[]);
    has(
        &project,
        "moons.yaml",
        &[
            "# The file says that their density is known (moons)",
            "architecture: {kind: points",
        ],
    );
    project
        .run(&["plan", "moons.yaml"])
        .expect(0, &["3 stages would run"]);
    run_tiny(
        &project,
        "moons.yaml",
        &["train_autoencoder.architecture.count=32"],
    );
}

#[test]
fn more_dimensions_without_data_leave_the_autoencoder_to_be_filled_in() {
    let project = Project::new();
    project.write_features("a.h5", "features", 300, 5, |i, j| {
        if j == 4 { 1.0 } else { noise(i, j) }
    });
    project.run(&["init", "a.h5"]).expect(0, &[]);
    has(
        &project,
        "a.yaml",
        &[
            "# train_autoencoder:",
            "whiten: full",
            "projection: {kind: pca, width: 4}",
        ],
    );
    project
        .run(&["plan", "a.yaml"])
        .expect(0, &["2 stages would run"]);
    let text = std::fs::read_to_string(project.path("a.yaml")).unwrap();
    let (above, below) = text.split_once("# train_autoencoder:").unwrap();
    // The commented section has the right shape.
    let section = below.split("\n\n").next().unwrap().replace("\n# ", "\n");
    let rest = below.split_once("\n\n").map_or("", |(_, rest)| rest);
    project.write(
        "filled.yaml",
        format!("{above}train_autoencoder:{section}\n\n{rest}"),
    );
    project
        .run(&["config", "filled.yaml"])
        .expect(0, &["train_autoencoder:", "kind: distribution_matching"]);
}

#[test]
fn nothing_is_overwritten_without_force() {
    let project = Project::new();
    project.write_features("a.h5", "features", 300, 3, noise);
    project
        .write("a.yaml", "mine")
        .write("latent-align.schema.json", "mine too");
    project
        .run(&["init", "a.h5"])
        .expect(2, &["a.yaml: found a file", "--force"]);
    assert_eq!(
        std::fs::read_to_string(project.path("a.yaml")).unwrap(),
        "mine"
    );
    project
        .run(&["init", "a.h5", "--out", "b.yaml"])
        .expect(0, &["latent-align.schema.json: left unchanged"]);
    let schema = || std::fs::read_to_string(project.path("latent-align.schema.json")).unwrap();
    assert_eq!(schema(), "mine too");
    project
        .run(&["init", "a.h5", "--force"])
        .expect(0, &["a.yaml: written"]);
    assert!(schema().starts_with('{'));
}

#[test]
fn what_cannot_be_an_experiment_is_refused_with_what_was_found() {
    let project = Project::new();
    project.run(&["init"]).expect(
        2,
        &["found no file", "latent-align init features.h5", "h5py"],
    );
    project
        .run(&["init", "none.h5"])
        .expect(2, &["no file none.h5"]);
    project.write("a.npy", "\u{93}NUMPY");
    project
        .run(&["init", "a.npy"])
        .expect(2, &["not an HDF5 file", "h5py"]);

    let broken = |i: usize, j: usize| {
        if (i, j) == (7, 2) {
            f32::NAN
        } else {
            noise(i, j)
        }
    };
    project.write_features("nan.h5", "features", 300, 3, broken);
    project.run(&["init", "nan.h5"]).expect(
        2,
        &[
            "/features [300, 3] f32 in nan.h5",
            "1 NaN",
            "row 7, column 2",
            "non_finite: drop",
        ],
    );
    project.write_features("good.h5", "features", 300, 3, noise);
    project
        .run(&["init", "good.h5", "--data", "nan.h5"])
        .expect(2, &["/features [300, 3] f32 in nan.h5", "1 NaN"]);
    project.write_dataset("labels.h5", "labels", &[300], &[1_i64; 300]);
    project
        .run(&["init", "labels.h5"])
        .expect(2, &["/labels [300] i64", "expected features [N, D]"]);
    project.add_dataset("good.h5", "x", &[300, 2], &[0.5_f32; 600]);
    project
        .run(&["init", "good.h5", "--dataset", "x"])
        .expect(2, &["same values in every row"]);
    project
        .run(&["init", "good.h5", "--dataset", "feature"])
        .expect(2, &["Did you mean `features`?"]);
    project.write_dataset("last.h5", "images", &[100, 8, 8, 3], &[0.5_f32; 100 * 192]);
    project
        .run(&["init", "good.h5", "--data", "last.h5"])
        .expect(2, &["channels last", "transpose(0, 3, 1, 2)"]);
    assert_eq!(
        project
            .entries(".")
            .iter()
            .filter(|f| f.ends_with("yaml"))
            .count(),
        0
    );
}

/// The commands that a refusal shows, each as its arguments.
fn shown_commands(refusal: &Outcome) -> Vec<Vec<String>> {
    let lines = refusal.stderr.lines().map(str::trim);
    let commands = lines.filter(|line| line.contains(" init "));
    commands
        .map(|line| {
            let words = line.split(' ').skip(1);
            words
                .map(|word| word.trim_matches('\'').to_owned())
                .collect()
        })
        .collect()
}

fn type_again(project: &Project, command: &[String]) -> Outcome {
    project.run(&command.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn rows_of_rows_are_tokens_or_images_and_init_asks_which() {
    let project = Project::new();
    let values: Vec<f32> = (0..300 * 20 * 17).map(|i| noise(i / 17, i % 17)).collect();
    project.write_dataset("x.h5", "digits", &[300, 20, 17], &values);
    let asked = project.run(&["init", "x.h5", "--out", "tokens.yaml"]);
    asked.expect(
        2,
        &[
            "x.h5: found /digits [300, 20, 17] f32",
            "300 items of 20 tokens of width 17",
            "6000 points",
            "300 images of 20 x 17",
        ],
    );
    assert!(!project.path("tokens.yaml").exists());
    let [tokens, images] = &shown_commands(&asked)[..] else {
        panic!("two commands: {asked}");
    };
    type_again(&project, tokens).expect(0, &["tokens.yaml: written"]);
    has(
        &project,
        "tokens.yaml",
        &["# Found /digits [300, 20, 17] f32: 6000 rows of width 17"],
    );

    project.write_features("FEATURES.h5", "features", 300, 3, noise);
    type_again(&project, images).expect(0, &["FEATURES.yaml: written"]);
    has(
        &project,
        "FEATURES.yaml",
        &[
            "data: {file: x.h5, dataset: digits, shape: [1, 20, 17]}",
            "architecture: {kind: convolutional, channels: [32, 64]}",
        ],
    );
    run_tiny(&project, "FEATURES.yaml", &["train_autoencoder.steps=2"]);
}

#[test]
fn data_of_rows_of_rows_are_images_or_vectors_and_init_asks_which() {
    let project = Project::new();
    project.write_features("f.h5", "features", 300, 3, noise);
    let images: Vec<u8> = (0..200 * 64).map(|i| (noise(i, 0) * 255.0) as u8).collect();
    project.write_dataset("my digits.h5", "x", &[200, 8, 8], &images);
    let asked = project.run(&["init", "f.h5", "--force", "--data", "my digits.h5"]);
    asked.expect(
        2,
        &[
            "my digits.h5: found /x [200, 8, 8] u8",
            "200 images of 8 x 8",
            "200 vectors of 64 numbers",
            "--data 'my digits.h5' --data-as images",
            "--data 'my digits.h5' --data-as vectors",
        ],
    );
    let with = |kind| {
        [
            "init",
            "f.h5",
            "--force",
            "--data",
            "my digits.h5",
            "--data-as",
            kind,
        ]
    };
    project.run(&with("vectors")).expect(0, &[]);
    has(
        &project,
        "f.yaml",
        &["data: {file: \"my digits.h5\", dataset: x}"],
    );
    project.run(&with("images")).expect(0, &[]);
    has(
        &project,
        "f.yaml",
        &["data: {file: \"my digits.h5\", dataset: x, shape: [1, 8, 8]}"],
    );
    project
        .run(&["plan", "f.yaml"])
        .expect(0, &["3 stages would run"]);
    let flat = [
        "init",
        "f.h5",
        "--force",
        "--data",
        "f.h5",
        "--data-dataset",
        "features",
    ];
    let flat = project.run(&[&flat[..], &["--data-as", "images"]].concat());
    flat.expect(2, &["found vectors", "shape: [C, H, W]"]);
}

#[test]
fn images_are_no_features_and_go_with_data() {
    let project = tiny::project();
    project.write_dataset("images.h5", "images", &[60, 1, 8, 8], &[0.5_f32; 60 * 64]);
    let advice = [
        "/images [60, 1, 8, 8] f32",
        "--data",
        "latent-align init FEATURES.h5 --data images.h5 --data-dataset images",
    ];
    project.run(&["init", "images.h5"]).expect(2, &advice);
    project
        .run(&["init", "images.h5", "--dataset", "images"])
        .expect(2, &advice);
    let features = "pretrain_flow.features={file: images.h5, dataset: images}";
    project
        .run(&["run", "tiny.yaml", "--set", features])
        .expect(2, &["rank 4", "use --data", "train_autoencoder.data"]);
}

#[test]
fn channels_last_are_refused_wherever_images_are_read() {
    let project = tiny::project();
    let images: Vec<f32> = (0..300 * 216)
        .map(|i| (i * 7919 % 1009) as f32 / 1009.0)
        .collect();
    project.write_dataset("last.h5", "images", &[300, 8, 9, 3], &images);
    project.add_dataset("last.h5", "labels", &[300], &[0_i64, 1].repeat(150));
    let mended = [
        "/images [300, 8, 9, 3] f32",
        "channels last",
        "x.transpose(0, 3, 1, 2)",
    ];
    let set = |value: &str| {
        let data = format!("train_autoencoder.data={{file: last.h5, dataset: images{value}}}");
        project.run(&["run", "tiny.yaml", "--set", &data])
    };
    set("").expect(2, &mended);
    set("").expect(2, &["under train_autoencoder.data"]);
    set(", shape: [3, 8, 9]").expect(2, &["items of shape [8, 9, 3]"]);
    set(", shape: [8, 9, 3]").expect(0, &[]);
    project.write(
        "classes.yaml",
        "name: classes\ntrain_classifier:\n  data: {file: last.h5}\n  steps: 2\n  batch: 16\n",
    );
    project.run(&["run", "classes.yaml"]).expect(2, &mended);
    project
        .run(&["run", "classes.yaml"])
        .expect(2, &["under train_classifier.data"]);
    project
        .run(&["show", "last.h5"])
        .expect(0, &["channels last?", "transpose(0, 3, 1, 2)"]);
    assert!(project.entries("artifacts/train-classifier").is_empty());
}

#[test]
fn flat_images_are_convolved_where_their_shape_is_said() {
    let project = tiny::project();
    project.write_features("flat.h5", "images", 300, 64, noise);
    let run = |data: &str| {
        let data = format!("train_autoencoder.data={{file: flat.h5, dataset: images{data}}}");
        let layers = "train_autoencoder.architecture={kind: convolutional, channels: [4]}";
        project.run(&["run", "tiny.yaml", "--set", &data, "--set", layers])
    };
    run("").expect(
        2,
        &["items of shape [64]", "`shape: [C, H, W]`", "kind: dense"],
    );
    run(", shape: [1, 8, 9]").expect(2, &["items of shape [64]", "[1, 8, 9]"]);
    run(", shape: [1, 0, 9]").expect(2, &["train_autoencoder.data.shape", "[1, 28, 28]"]);
    run(", shape: [1, 8, 8]").expect(0, &["held-out mean squared error"]);
}
