//! Interrupted trainings resume with the same bits.

use crate::project::{Outcome, Project, signal, starting_with, wait_until};
use crate::tiny::{self, CONFIG};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Child;

/// What every artifact of the project holds: digests of its outputs by stage and name.
pub fn outputs(project: &Project) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for stage in STAGES {
        for name in project.entries(&format!("artifacts/{stage}")) {
            if name.starts_with('.') {
                continue;
            }
            let manifest = project.path(&format!("artifacts/{stage}/{name}/manifest.json"));
            let manifest = crate::project::unsealed(&manifest);
            let (_, outputs) = manifest.split_once("\"outputs\":").unwrap();
            found.insert(format!("{stage}/{name}"), outputs.to_owned());
        }
    }
    found
}

pub const STAGES: [&str; 6] = [
    "train-classifier",
    "pretrain-flow",
    "train-autoencoder",
    "transport",
    "estimate-nll",
    "evaluate-latents",
];

/// Long enough to be interrupted in any training, with a checkpoint every few steps.
fn config() -> String {
    let long = CONFIG.replace("steps: 20\n", "steps: 150\n");
    format!("{long}checkpoints: {{every_steps: 7}}\n")
}

fn project_of(config: &str) -> Project {
    let project = tiny::project();
    project.write("tiny.yaml", config);
    let labels: Vec<i64> = (0..200).map(|i| i % 3).collect();
    project.add_dataset("vectors.h5", "labels", &[200], &labels);
    project
}

/// The checkpoints of the training of `stage`.
pub fn checkpoints(project: &Project, stage: &str) -> Vec<PathBuf> {
    let folder = project.path(&format!("artifacts/{stage}"));
    let Some(training) = starting_with(&folder, ".training-") else {
        return Vec::new();
    };
    let entries = training.read_dir().into_iter().flatten().flatten();
    let mut steps: Vec<PathBuf> = entries
        .map(|e| e.path())
        .filter(|p| {
            p.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("step-")
        })
        .collect();
    steps.sort();
    steps
}

/// Starts the run and waits for a checkpoint of `stage`.
pub fn start(project: &Project, stage: &str) -> Child {
    let mut child = project.spawn(&["run", "tiny.yaml"]);
    wait_until("checkpoint", || {
        assert_eq!(child.try_wait().unwrap(), None, "the run ended");
        checkpoints(project, stage).len() > 1
    });
    child
}

pub fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Kills a run in each of `stages` in turn; the result equals that of an undisturbed run.
fn resumes(config: &str, stages: &[&str]) {
    let whole = project_of(config);
    whole.run(&["run", "tiny.yaml"]).expect(0, &[]);
    let project = project_of(config);
    for stage in stages {
        kill(start(&project, stage));
        assert!(!checkpoints(&project, stage).is_empty());
    }
    let last = project.run(&["run", "tiny.yaml"]);
    last.expect(0, &["resuming from the checkpoint of step"]);
    assert_eq!(outputs(&project), outputs(&whole));
    for stage in STAGES {
        let left = project.entries(&format!("artifacts/{stage}"));
        assert!(left.iter().all(|name| !name.starts_with('.')), "{left:?}");
    }
}

#[test]
fn killed_trainings_resume_to_the_same_bits() {
    resumes(&config(), &["pretrain-flow", "train-autoencoder"]);
}

#[test]
fn a_killed_training_with_a_student_resumes_to_the_same_bits() {
    let student = config().replace(
        "{kind: alignment, weight: 0.1, draws: 2}",
        "{kind: distribution_matching, weight: 0.1, draws: 2, warm_up_steps: 7}",
    );
    resumes(&student, &["train-autoencoder"]);
}

/// Fails if target samples depend on more than the step.
#[test]
fn a_killed_training_against_target_samples_resumes_to_the_same_bits() {
    let compared = config().replace(
        "{kind: alignment, weight: 0.1, draws: 2}",
        "{kind: sliced_wasserstein, weight: 0.1, batch: 8, projections: 8}",
    );
    resumes(&compared, &["train-autoencoder"]);
}

/// With free points instead of an autoencoder.
fn free_points() -> String {
    config()
        .replace("  data: {file: vectors.h5, dataset: vectors}\n", "")
        .replace("{kind: dense, widths: [8]}", "{kind: points, count: 40}")
}

#[test]
fn a_killed_training_of_free_points_resumes_to_the_same_bits() {
    resumes(&free_points(), &["train-autoencoder"]);
}

#[test]
fn free_points_that_diverge_leave_a_record_too() {
    let config = free_points().replace(
        "  batch: 16\n",
        "  batch: 16\n  optimiser: {learning_rate: 1e38, warmup_steps: 0, gradient_clip: 1e30}\n",
    );
    let project = project_of(&config);
    let run = project.run(&["run", "tiny.yaml"]);
    run.expect(1, &["train-autoencoder", "after step", "diverged.json"]);
    let record = diverged(&project, "train-autoencoder");
    assert_eq!(record["about"]["stage"], "train-autoencoder");
    assert!(record["rows of the batch"].as_array().unwrap().is_empty());
}

#[test]
fn a_killed_classifier_and_a_killed_flow_of_latents_resume_to_the_same_bits() {
    let with_classifier = format!(
        "{}train_classifier:\n  data: {{file: vectors.h5, dataset: vectors}}\n  \
         architecture: {{kind: dense, widths: [8]}}\n  features: 4\n  steps: 150\n  batch: 16\n\
         evaluate_latents:\n  samples: 64\n  flow:\n    network: {{width: 16, blocks: 1, frequencies: 8}}\n    \
         steps: 150\n    batch: 16\n    times: 8\n",
        config()
    );
    resumes(&with_classifier, &["train-classifier", "evaluate-latents"]);
}

#[test]
fn a_killed_transport_resumes_to_the_same_bits() {
    let with_transport = format!(
        "{}transport:\n  model: {{kind: flow_matching, network: {{width: 16, blocks: 1, frequencies: 8}}, times: 8}}\n  \
         steps: 150\n  batch: 16\n  noise: 0.1\n",
        config()
    );
    resumes(&with_transport, &["transport"]);
}

#[test]
fn a_signal_commits_the_step_and_the_run_goes_on_from_it() {
    let whole = project_of(&config());
    whole.run(&["run", "tiny.yaml"]).expect(0, &[]);
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        // no checkpoint but that of the signal
        let project = project_of(&config().replace("every_steps: 7", "every_seconds: 1000"));
        let mut child = project.spawn(&["run", "tiny.yaml"]);
        let folder = project.path("artifacts/pretrain-flow");
        wait_until("training", || {
            assert_eq!(child.try_wait().unwrap(), None, "the run ended");
            starting_with(&folder, ".tmp-").is_some_and(|t| t.join("metrics.parquet").exists())
        });
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains("run tiny.yaml"), "{stderr}");
        let kept = checkpoints(&project, "pretrain-flow");
        assert_eq!(kept.len(), 1, "{stderr}");
        let step = kept[0].file_name().unwrap().to_string_lossy().into_owned();
        let step: u64 = step.trim_start_matches("step-").parse().unwrap();
        assert!(
            stderr.contains(&format!("the checkpoint of step {step} is kept")),
            "{stderr}"
        );
        let on = project.run(&["run", "tiny.yaml"]);
        on.expect(
            0,
            &[&format!("resuming from the checkpoint of step {step}")],
        );
        assert_eq!(outputs(&project), outputs(&whole));
    }
}

#[test]
fn a_second_signal_stops_at_once_and_loses_nothing_committed() {
    let project = project_of(&config());
    let child = start(&project, "train-autoencoder");
    let flow = outputs(&project);
    signal(&child, "STOP");
    signal(&child, "INT");
    signal(&child, "TERM");
    signal(&child, "CONT");
    let code = child.wait_with_output().unwrap().status.code();
    // by the second signal's default action, or by its exit code if the first was seen before
    assert!([None, Some(130), Some(143)].contains(&code), "{code:?}");
    assert_eq!(outputs(&project), flow);
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
}

/// Detects: a comparison of digests alone, which are the same after rows were changed and restored.
#[test]
fn an_input_that_is_changed_and_restored_while_it_is_read_is_told() {
    let project = project_of(&config());
    let mut child = project.spawn(&["run", "tiny.yaml", "--until", "pretrain-flow"]);
    wait_until("checkpoint", || {
        assert_eq!(child.try_wait().unwrap(), None, "the run ended");
        checkpoints(&project, "pretrain-flow").len() > 1
    });
    signal(&child, "STOP");
    let features = project.path("features.h5");
    let length = features.metadata().unwrap().len();
    let file = std::fs::File::options().write(true).open(&features);
    let file = file.unwrap();
    file.set_len(length + 1).unwrap();
    file.set_len(length).unwrap();
    drop(file);
    signal(&child, "CONT");
    let warned =
        "features.h5 was written to or replaced while pretrain-flow ran, and has its old contents";
    Outcome::of(child.wait_with_output().unwrap()).expect(0, &["warning: ", warned]);
    project.run(&["show", "tiny"]).expect(0, &[warned]);
}

#[test]
fn the_newest_checkpoints_and_the_best_are_kept() {
    let mut config = config().replace("every_steps: 7", "every_steps: 7, keep: 3");
    config = config.replace("evaluate_every: 10", "evaluate_every: 7");
    let project = project_of(&config);
    kill(start(&project, "train-autoencoder"));
    let count = checkpoints(&project, "train-autoencoder").len();
    assert!((2..=4).contains(&count), "{count}");
}

#[test]
fn a_corrupt_checkpoint_is_set_aside_and_the_one_before_it_used() {
    let whole = project_of(&config());
    whole.run(&["run", "tiny.yaml"]).expect(0, &[]);
    let project = project_of(&config());
    kill(start(&project, "pretrain-flow"));
    let kept = checkpoints(&project, "pretrain-flow");
    let newest = kept.last().unwrap();
    let state = newest.join("state.safetensors");
    let mut bytes = std::fs::read(&state).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&state, bytes).unwrap();
    project.run(&["verify"]).expect(
        1,
        &["DAMAGED", "state.safetensors: digest", "its record says"],
    );
    let before = kept[kept.len() - 2]
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    let before: u64 = before.trim_start_matches("step-").parse().unwrap();
    let on = project.run(&["run", "tiny.yaml"]);
    on.expect(
        0,
        &[
            "warning",
            "its record says",
            "set aside",
            &format!("resuming from the checkpoint of step {before}"),
        ],
    );
    assert_eq!(outputs(&project), outputs(&whole));
}

#[test]
fn the_checkpoint_of_another_configuration_is_refused_with_the_fields() {
    let project = project_of(&config());
    kill(start(&project, "pretrain-flow"));
    let folder = project.path("artifacts/pretrain-flow");
    let mine = starting_with(&folder, ".training-").unwrap();
    let other = project.run(&["plan", "tiny.yaml", "--set", "pretrain_flow.steps=151"]);
    let line = other
        .stdout
        .lines()
        .find(|l| l.contains("pretrain-flow"))
        .unwrap();
    let fingerprint = line.split_whitespace().nth(1).unwrap();
    std::fs::rename(mine, folder.join(format!(".training-{fingerprint}"))).unwrap();
    let run = project.run(&["run", "tiny.yaml", "--set", "pretrain_flow.steps=151"]);
    run.expect(
        2,
        &[
            "another configuration",
            "pretrain_flow.steps: found 150, expected 151",
            "remove it",
        ],
    );
}

#[test]
fn a_checkpoint_of_a_newer_version_is_refused_with_advice() {
    let project = project_of(&config());
    kill(start(&project, "pretrain-flow"));
    let record = checkpoints(&project, "pretrain-flow")
        .pop()
        .unwrap()
        .join("checkpoint.json");
    let newer = crate::project::sealed("{\n  \"format\": 99\n}");
    std::fs::write(record, newer).unwrap();
    project.run(&["run", "tiny.yaml"]).expect(
        2,
        &[
            "written by a newer version (format 99",
            "update latent-align",
        ],
    );
}

/// With weights that overflow some steps after the first checkpoints.
fn diverging() -> String {
    config().replace(
        "  steps: 150\n  batch: 32\n",
        "  steps: 150\n  batch: 32\n  optimiser: {learning_rate: 1e37, warmup_steps: 75, gradient_clip: 1e30, ema: 0.0}\n",
    )
}

/// The record of the training of `stage` that diverged.
fn diverged(project: &Project, stage: &str) -> serde_json::Value {
    let folder = project.path(&format!("artifacts/{stage}"));
    let training = starting_with(&folder, ".training-").unwrap();
    let record = std::fs::read_to_string(training.join("diverged.json")).unwrap();
    serde_json::from_str(&record).unwrap()
}

#[test]
fn a_loss_that_is_nan_stops_with_the_last_good_checkpoint_and_a_record() {
    let config = diverging();
    let project = project_of(&config.replace("every_steps: 7", "every_steps: 1"));
    let run = project.run(&["run", "tiny.yaml"]);
    run.expect(1, &["after step", "learning_rate", "diverged.json"]);
    assert_eq!(outputs(&project), BTreeMap::new());
    let record = diverged(&project, "pretrain-flow");
    let step = record["step"].as_u64().unwrap();
    assert!(run.stderr.contains(&format!("after step {step}")), "{run}");
    let rows = record["rows of the batch"].as_array().unwrap();
    assert_eq!(rows.len(), 32);
    assert!(rows.iter().all(|r| r.as_u64().unwrap() < 400));
    assert_eq!(record["about"]["seed"], 0);
    // the kept state is finite, and of an earlier step
    let from = record["goes on from step"].as_u64();
    assert!(from.is_none_or(|from| from <= step), "{from:?} {step}");
    project.run(&["verify"]).expect(0, &[]);
}

#[test]
fn the_step_that_diverged_does_not_depend_on_when_checkpoints_are_kept() {
    let config = diverging();
    let steps = [1, 7, 13, 1000].map(|every| {
        let every = format!("every_steps: {every}");
        let project = project_of(&config.replace("every_steps: 7", &every));
        project.run(&["run", "tiny.yaml"]).expect(1, &[]);
        let record = diverged(&project, "pretrain-flow");
        (
            record["step"].as_u64().unwrap(),
            record["rows of the batch"].clone(),
        )
    });
    assert!(steps.iter().all(|found| *found == steps[0]), "{steps:?}");
}

#[test]
fn an_artifact_that_is_trained_again_goes_on_from_its_checkpoint_too() {
    let project = project_of(&config());
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    let before = outputs(&project);
    let flow = project.path("artifacts/runs/tiny/pretrain-flow/flow.safetensors");
    let mut weights = std::fs::read(&flow).unwrap();
    *weights.last_mut().unwrap() ^= 1;
    std::fs::write(&flow, weights).unwrap();
    kill(start(&project, "pretrain-flow"));
    // the damaged artifact still exists, and looks intact unless it is read
    let kept = checkpoints(&project, "pretrain-flow");
    let again = project.run(&["run", "tiny.yaml"]);
    again.expect(0, &["resuming from the checkpoint of step"]);
    assert!(!kept.is_empty() && checkpoints(&project, "pretrain-flow").is_empty());
    assert_eq!(outputs(&project), before);
}

#[test]
fn checkpoints_are_no_part_of_the_identity_and_go_with_gc_only_when_no_run_needs_them() {
    let project = project_of(&config());
    kill(start(&project, "pretrain-flow"));
    let kept = checkpoints(&project, "pretrain-flow");
    project.run(&["clean", "--delete"]).expect(0, &[]);
    assert_eq!(checkpoints(&project, "pretrain-flow"), kept);
    std::fs::remove_dir_all(project.path("artifacts/runs/tiny")).unwrap();
    project
        .run(&["clean", "--delete"])
        .expect(0, &["checkpoints"]);
    assert_eq!(
        checkpoints(&project, "pretrain-flow"),
        Vec::<PathBuf>::new()
    );
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    let again = ["run", "tiny.yaml", "--set", "checkpoints.every_steps=3"];
    project.run(&again).expect(0, &["Nothing to do"]);
}

#[test]
fn settings_of_checkpoints_out_of_range_are_refused() {
    let project = project_of(&config());
    for (set, part) in [
        ("checkpoints.every_seconds=0", "0.1 to 1e6"),
        ("checkpoints.every_steps=0", "a number of steps"),
        ("checkpoints.keep=0", "1 to 1000"),
    ] {
        project
            .run(&["plan", "tiny.yaml", "--set", set])
            .expect(2, &[part]);
    }
}
