//! Flows that are part of the program: experiments without target features.

use crate::documents::root;
use crate::project::{Project, starting_with};

const CONFIG: &str = "\
name: shipped
flow: words-16
train_autoencoder:
  data: {file: vectors.h5, dataset: vectors}
  architecture: {kind: dense, widths: [16]}
  latent: {tokens: 2, width: 16}
  regulariser: {kind: alignment, weight: 1.0e-4}
  steps: 10
  batch: 16
";

fn project() -> Project {
    let project = Project::new();
    let values: Vec<f32> = (0..200 * 8u16)
        .map(|i| f32::from(i * 37 % 101) / 101.0)
        .collect();
    project.write_dataset("vectors.h5", "vectors", &[200, 8], &values);
    project.write("shipped.yaml", CONFIG);
    project
}

/// Detects: a plan that needs the flow in the store, a run that computes it anew each time, and files that are not
/// checked.
#[test]
fn an_autoencoder_is_aligned_with_a_flow_of_the_program() {
    let project = project();
    project
        .run(&["plan", "shipped.yaml"])
        .expect(0, &["pretrain-flow", "given", "train-autoencoder"]);
    assert!(!project.path("artifacts").exists());
    let run = project.run(&["run", "shipped.yaml", "--until", "train-autoencoder"]);
    run.expect(0, &["pretrain-flow: done in", "train-autoencoder: done in"]);
    project
        .run(&["plan", "shipped.yaml"])
        .expect(0, &["up to date"]);
    project.run(&["verify"]).expect(0, &[]);
    project
        .run(&["show", "shipped"])
        .expect(0, &["test NLL (nats)"]);

    let flow = starting_with(&project.path("artifacts/pretrain-flow"), "").unwrap();
    std::fs::write(flow.join("test.h5"), "damaged").unwrap();
    let again = project.run(&["run", "shipped.yaml", "--until", "train-autoencoder"]);
    again.expect(0, &["pretrain-flow: done in"]);
    project.run(&["verify"]).expect(0, &[]);
}

#[test]
fn a_flow_that_is_none_of_the_program_is_told_with_those_that_are() {
    let project = project();
    project.write("shipped.yaml", CONFIG.replace("words-16", "words-17"));
    project.run(&["plan", "shipped.yaml"]).expect(
        2,
        &[
            "flow: ",
            "words-17: no such folder",
            "`words-16` or `words-64`",
        ],
    );
    project.write("shipped.yaml", CONFIG.replace("words-16", "words-64"));
    project
        .run(&["run", "shipped.yaml"])
        .expect(2, &["latent.width: found 16, expected 64"]);
}

#[test]
fn a_first_experiment_needs_no_features() {
    let project = project();
    project
        .run(&[
            "init",
            "vectors.h5",
            "--flow",
            "words-16",
            "--out",
            "first.yaml",
        ])
        .expect(0, &["latent-align run first.yaml --quick"]);
    let text = std::fs::read_to_string(project.path("first.yaml")).unwrap();
    assert!(text.contains("\nflow: words-16\n"), "{text}");
    assert!(text.contains("width: 16}"), "{text}");
    project
        .run(&["plan", "first.yaml"])
        .expect(0, &["given", "estimate-nll"]);
    project
        .run(&[
            "init",
            "vectors.h5",
            "--flow",
            "words-16",
            "--data",
            "vectors.h5",
        ])
        .expect(2, &["found 2 files, expected one"]);
    project
        .run(&["init", "vectors.h5", "--flow", "words"])
        .expect(2, &["words-16, words-64"]);
}

/// Detects: an experiment that was changed after its flow was copied.
#[test]
fn the_experiments_are_those_that_made_the_flows() {
    let project = Project::new();
    for name in ["words-16", "words-64"] {
        let made = root().join(format!("configs/flows/{name}/made.json"));
        let made: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(made).unwrap()).unwrap();
        let config = root().join(format!("configs/flows/{name}.yaml"));
        let fingerprint = made["fingerprint"].as_str().unwrap();
        project
            .run(&["plan", config.to_str().unwrap()])
            .expect(0, &[fingerprint]);
    }
}
