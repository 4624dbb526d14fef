//! Explicit alignment of latents with a classifier's features of the same rows.

use crate::project::Project;
use crate::tiny::{self, CONFIG};

const CLASSIFIER: &str = "\
train_classifier:
  data: {file: vectors.h5, dataset: vectors}
  architecture: {kind: dense, widths: [8]}
  features: 3
  steps: 40
  batch: 16
";

/// `tiny.yaml` with the regulariser `features` and these `keys`, and `classes.yaml` with a classifier.
fn project(keys: &str, more: &str) -> Project {
    let project = tiny::project();
    let classes: Vec<i64> = (0..200)
        .map(|row| i64::from(tiny::noise(row, 0) > 0.5))
        .collect();
    project.add_dataset("vectors.h5", "labels", &[200], &classes);
    project.write("classes.yaml", format!("name: classes\n{CLASSIFIER}"));
    let config = CONFIG.replace(
        "{kind: alignment, weight: 0.1, draws: 2}",
        &format!("{{kind: features, weight: 1.0{keys}}}"),
    );
    let config = config.replace("steps: 20\n  batch: 16", "steps: 300\n  batch: 16");
    let quickly = "  optimiser: {learning_rate: 0.02}\n";
    let config = config.replace("estimate_nll:", &format!("{quickly}estimate_nll:"));
    project.write("tiny.yaml", format!("{config}{more}"));
    project
}

/// Fails if a latent is compared with the features of another row: their mean distance would stay around 1.
#[test]
fn latents_point_along_the_features_of_their_own_row() {
    for (keys, more) in [
        (", classifier: classes.yaml", ""),
        (", token: 0", CLASSIFIER),
        (", loss: smooth_l1", CLASSIFIER),
    ] {
        let project = project(keys, more);
        let run = project.run(&["run", "tiny.yaml", "--until", "train-autoencoder"]);
        run.expect(0, &["train-classifier", "regulariser "]);
        let (_, value) = run.stderr.rsplit_once("regulariser ").unwrap();
        let value = value.split_whitespace().next().unwrap();
        let value: f64 = value.trim_end_matches(',').parse().unwrap();
        assert!(value < 0.25, "{keys}: {value}");
    }
}

#[test]
fn a_classifier_that_is_missing_or_of_other_rows_is_refused_by_key() {
    let absent = project("", "");
    let expected = [
        "train_autoencoder.regulariser.classifier: found nothing, and no `train_classifier` section",
    ];
    absent.run(&["run", "tiny.yaml"]).expect(2, &expected);
    let beyond = project(", token: 1", CLASSIFIER);
    let expected = ["train_autoencoder.regulariser.token", "1 tokens"];
    beyond.run(&["run", "tiny.yaml"]).expect(2, &expected);
    for refused in [&absent, &beyond] {
        assert!(!refused.path("artifacts").exists());
    }
    let other = project(", classifier: classes.yaml", "");
    other.write_features("others.h5", "vectors", 200, 4, |row, column| {
        tiny::noise(row + 1000, column)
    });
    other.run(&["run", "classes.yaml"]).expect(0, &[]);
    let set = "train_autoencoder.data={file: others.h5, dataset: vectors}";
    let run = other.run(&["run", "tiny.yaml", "--set", set]);
    run.expect(
        2,
        &[
            "train_autoencoder.regulariser.classifier: found a classifier of 200 rows",
            "same rows",
        ],
    );
    assert!(!run.stderr.contains("autoencoder: training"), "{run}");
}
