//! Classifiers, and their evaluation of latents.

use crate::project::Project;
use crate::tiny::{CONFIG, noise, project as tiny};

const CLASSIFIER: &str = "\
train_classifier:
  data: {file: vectors.h5, dataset: vectors}
  architecture: {kind: dense, widths: [8]}
  features: 3
  steps: 10
  batch: 16
";

const EVALUATION: &str = "  flow: {network: {width: 16, blocks: 1, frequencies: 8}, steps: 5, batch: 16, times: 8}\n  \
                          samples: 32\n  tolerance: 0.01\n";

/// `tiny.yaml` with the classes of its vectors, and `classes.yaml` with a classifier alone.
fn project() -> Project {
    let project = tiny();
    let classes: Vec<i64> = (0..200).map(|row| i64::from(noise(row, 0) > 0.5)).collect();
    project.add_dataset("vectors.h5", "labels", &[200], &classes);
    project.write("classes.yaml", format!("name: classes\n{CLASSIFIER}"));
    project
}

fn stages_that_ran(project: &Project) -> Vec<usize> {
    ["train-classifier", "train-autoencoder", "evaluate-latents"]
        .map(|stage| project.entries(&format!("artifacts/{stage}")).len())
        .to_vec()
}

#[test]
fn a_classifier_is_an_experiment_of_its_own_and_needs_no_flow() {
    let project = project();
    project.run(&["run", "classes.yaml"]).expect(
        0,
        &["## train-classifier", "held-out accuracy", "test accuracy"],
    );
    project
        .run(&["run", "classes.yaml"])
        .expect(0, &["Nothing to do"]);
    assert!(
        !project
            .path("artifacts/runs/classes/pretrain-flow")
            .exists()
    );
}

#[test]
fn latents_are_evaluated_with_the_classifier_of_another_experiment_or_its_own() {
    let project = project();
    let with = |text: &str| format!("{CONFIG}{text}");
    let referring = format!("evaluate_latents:\n  classifier: classes.yaml\n{EVALUATION}");
    project.write("tiny.yaml", with(&referring));
    project.run(&["plan", "tiny.yaml"]).expect(
        0,
        &[
            "train-classifier of classes",
            "evaluate-latents",
            "5 stages would run.",
        ],
    );
    project.run(&["run", "tiny.yaml"]).expect(
        0,
        &[
            "## evaluate-latents",
            "held-out linear probe accuracy",
            "test linear probe accuracy",
        ],
    );
    assert_eq!(stages_that_ran(&project), [1, 1, 1]);
    // The same classifier in its own section is the same artifact, with the same results.
    let own = format!("{CLASSIFIER}evaluate_latents:\n{EVALUATION}");
    project.write("tiny.yaml", with(&own));
    project
        .run(&["run", "tiny.yaml"])
        .expect(0, &["Nothing to do"]);
    // Another classifier gives other results; the autoencoder is unchanged.
    project
        .run(&["run", "tiny.yaml", "--set", "train_classifier.steps=11"])
        .expect(0, &["train-classifier changes: "]);
    assert_eq!(stages_that_ran(&project), [2, 1, 2]);
}

#[test]
fn a_flow_is_pretrained_on_the_features_of_a_classifier() {
    let project = project();
    let features = CONFIG
        .replace(
            "features: {file: features.h5}",
            "features: {from: {stage: train_classifier}, file: features.h5}",
        )
        .replace("latent: {width: 2}", "latent: {width: 3}");
    project.write("semantic.yaml", format!("{features}{CLASSIFIER}"));
    let run = project.run(&["run", "semantic.yaml"]);
    run.expect(
        0,
        &["## train-classifier", "## pretrain-flow", "## estimate-nll"],
    );
    project
        .run(&[
            "plan",
            "semantic.yaml",
            "--set",
            "train_classifier.steps=11",
        ])
        .expect(
            0,
            &[
                "train-classifier (features) changes: ",
                "4 stages would run.",
            ],
        );
}

#[test]
fn what_an_evaluation_lacks_is_said_at_once() {
    let project = project();
    project.write(
        "bare.yaml",
        format!("name: bare\nevaluate_latents:\n{EVALUATION}"),
    );
    project.run(&["plan", "bare.yaml"]).expect(
        2,
        &[
            "train_autoencoder: found no such section, expected an autoencoder of data",
            "evaluate_latents.classifier: found nothing, and no `train_classifier` section",
        ],
    );
    project.write(
        "tiny.yaml",
        format!("{CONFIG}evaluate_latents:\n  classifier: other.yaml\n{EVALUATION}"),
    );
    project.write("other.yaml", CONFIG.replace("name: tiny", "name: other"));
    project.run(&["plan", "tiny.yaml"]).expect(
        2,
        &[
            "evaluate_latents.classifier: ",
            "other.yaml has no `train_classifier` section",
        ],
    );
}
